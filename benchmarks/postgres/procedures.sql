-- Accrual and redemption of points, each one call and one transaction.
--
-- Both go the same way: look everything up in one statement, answer a repeat from its entry,
-- decide, and write everything in one statement (`post`), which takes effect only if the member's
-- lots are still the ones that were looked up; otherwise all starts again. Of two copies of a
-- request that come at the same moment the key of `entry` lets one through; the other fails, and
-- its repeat gets the stored reply.

CREATE FUNCTION half_up(amount bigint, numerator bigint, denominator bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (2 * amount * numerator + denominator) / (2 * denominator);

CREATE FUNCTION value_fen(points bigint, points_per_yuan bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (200 * points + points_per_yuan) / (2 * points_per_yuan);

-- Last day of the month that lies so many months ahead.
CREATE FUNCTION month_end(months_ahead integer) RETURNS date
LANGUAGE sql STABLE
RETURN date_trunc('month', current_date + make_interval(months => months_ahead + 1))::date - 1;

-- Twelve digits that do not betray the sequence: an affine permutation of 0 .. 10^12 - 1.
CREATE FUNCTION retrieval_number(sequence bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (sequence * 7368787 + 387420489001) % 1000000000000;

-- Digest of what identifies a request's content.
CREATE FUNCTION content_digest(kind integer, card bigint, amount bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE
RETURN sha256(int4send(kind) || int8send(card) || int8send(amount));

-- All that a decision needs to know. One row, or none for an unknown terminal; columns are null
-- where the card, the terms, the lots or an earlier entry do not exist. PostgreSQL puts the body
-- into the calling statement, so this costs no call.
CREATE FUNCTION situation(of_terminal integer, of_batch integer, of_stan integer, of_card bigint)
RETURNS TABLE (
    merchant integer, batch_in_force integer, open_date date, member bigint, terms terms,
    version integer, lots lot[], stored_content bytea, stored_reply reply
)
LANGUAGE sql STABLE AS $$
    SELECT t.merchant, t.batch, d.open_date, c.member, k.terms, a.version, a.lots,
           e.content, e.reply
    FROM terminal AS t
    CROSS JOIN business_day AS d
    LEFT JOIN card AS c ON c.number = of_card
    LEFT JOIN LATERAL (
        SELECT terms FROM terms
        WHERE terms.merchant = t.merchant AND terms.valid_from <= current_date
        ORDER BY terms.valid_from DESC LIMIT 1
    ) AS k ON true
    LEFT JOIN member_points AS a ON a.member = c.member AND a.program = (k.terms).program
    LEFT JOIN entry AS e ON e.terminal = t.id AND e.batch = of_batch AND e.stan = of_stan
    WHERE t.id = of_terminal
$$;

CREATE FUNCTION declined(code char(2)) RETURNS reply
LANGUAGE sql IMMUTABLE
RETURN ROW(code, NULL, NULL, NULL, NULL, NULL, NULL)::reply;

-- The reply where no new decision is due: a repeat gets its stored reply, an identity
-- with other content 94, an unknown terminal 97, a batch not in force 77, an unknown card 14, no
-- terms 57.
CREATE FUNCTION early_reply(s record, batch integer, content bytea) RETURNS reply
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF s.stored_content = content THEN RETURN s.stored_reply;
    ELSIF s.stored_content IS NOT NULL THEN RETURN declined('94');
    ELSIF s.merchant IS NULL THEN RETURN declined('97');
    ELSIF s.batch_in_force <> batch THEN RETURN declined('77');
    ELSIF s.member IS NULL THEN RETURN declined('14');
    ELSE RETURN declined('57');
    END IF;
END $$;

-- Write an entry, the member's new lots and the totals of the terminal's batch. False, and nothing
-- is written, if the lots are no longer those of `seen_version`.
CREATE FUNCTION post(e entry, of_program smallint, seen_version integer, new_lots lot[])
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    moved bigint := (e.reply).points;
BEGIN
    WITH account AS (
        UPDATE member_points SET lots = new_lots, version = version + 1
        WHERE member = e.member AND program = of_program AND version = seen_version
        RETURNING member
    ), counted AS (
        UPDATE batch_total
        SET debit_count   = debit_count + (moved < 0)::integer,
            debit_amount  = debit_amount + greatest(-moved, 0),
            credit_count  = credit_count + (moved >= 0)::integer,
            credit_amount = credit_amount + greatest(moved, 0)
        FROM account
        WHERE terminal = e.terminal AND batch = e.batch AND unit = of_program
    )
    INSERT INTO entry SELECT e.* FROM account;
    RETURN FOUND;
END $$;

-- Points for a sale of `amount` fen: Lot +n, Issued -n, Pos(issuer) -F, Fund +V, Margin F - V,
-- and the fee.
CREATE FUNCTION accrue(
    in_terminal integer, in_batch integer, in_stan integer, in_card bigint, in_amount bigint
) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    digest    bytea := content_digest(220065, in_card, in_amount);
    s         record;
    k         terms;
    earned    bigint;
    funding   bigint;
    worth     bigint;
    fee       bigint;
    expires   date;
    available bigint;
    l         lot;
    place     integer;
    merged    boolean;
    seq       bigint := nextval('entry_sequence');
    answer    reply;
BEGIN
    LOOP
        SELECT * INTO s FROM situation(in_terminal, in_batch, in_stan, in_card);
        k := s.terms;
        IF s.stored_content IS NOT NULL OR s.member IS NULL OR k.merchant IS NULL
            OR s.batch_in_force <> in_batch
        THEN
            RETURN early_reply(s, in_batch, digest);
        END IF;
        IF s.version IS NULL THEN           -- the member's first points of this program
            INSERT INTO member_points (member, program) VALUES (s.member, k.program)
            ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;

        earned  := in_amount * k.earn_numerator / (100 * k.earn_denominator);
        funding := half_up(earned, k.funding_numerator, k.funding_denominator);
        worth   := value_fen(earned, k.points_per_yuan);
        fee     := half_up(in_amount, k.fee_permille, 1000);
        expires := month_end(k.expiry_months);

        available := earned;
        place := 1;
        merged := false;
        FOREACH l IN ARRAY s.lots LOOP
            IF l.expiry >= current_date THEN
                available := available + l.points;
            END IF;
            IF (l.expiry, l.issuer) < (expires, s.merchant) THEN
                place := place + 1;
            ELSIF l.expiry = expires AND l.issuer = s.merchant THEN
                merged := true;
            END IF;
        END LOOP;
        IF merged THEN
            s.lots[place].points := s.lots[place].points + earned;
        ELSIF earned > 0 THEN
            s.lots := s.lots[:place - 1] || ROW(expires, s.merchant, earned)::lot
                      || s.lots[place:];
        END IF;

        answer := ROW('00', retrieval_number(seq), seq % 1000000, s.open_date, in_amount, earned,
                      available);
        IF post(ROW(seq, in_terminal, in_batch, in_stan, digest, now(), s.open_date, s.member,
                    s.merchant, k.valid_from, answer, ARRAY[
                ROW('Lot', s.member, s.merchant, expires, k.program, earned),
                ROW('Issued', k.program, s.merchant, NULL, k.program, -earned),
                ROW('Pos', s.merchant, NULL, NULL, 156, -funding),
                ROW('Fund', k.program, NULL, NULL, 156, worth),
                ROW('Margin', k.program, NULL, NULL, 156, funding - worth),
                ROW('Pos', s.merchant, NULL, NULL, 156, -fee),
                ROW('Fee', NULL, NULL, NULL, 156, fee)
            ]::leg[])::entry, k.program, s.version, s.lots)
        THEN
            RETURN answer;
        END IF;
    END LOOP;
END $$;

-- A sale of `amount` fen paid in points: each Lot -k, Redeemed +k, earliest expiry first; then
-- Fund -V, Pos(redeemer) +S, Margin V - S, and the fee. Too few points: 51, which is stored too.
CREATE FUNCTION redeem(
    in_terminal integer, in_batch integer, in_stan integer, in_card bigint, in_amount bigint
) RETURNS reply
LANGUAGE plpgsql AS $$
DECLARE
    digest     bytea := content_digest(6500, in_card, in_amount);
    s          record;
    k          terms;
    price      bigint;
    settlement bigint;
    worth      bigint;
    fee        bigint;
    available  bigint;
    missing    bigint;
    taken      bigint;
    l          lot;
    kept       lot[];
    posted     leg[];
    seq        bigint := nextval('entry_sequence');
    answer     reply;
BEGIN
    LOOP
        SELECT * INTO s FROM situation(in_terminal, in_batch, in_stan, in_card);
        k := s.terms;
        IF s.stored_content IS NOT NULL OR s.member IS NULL OR k.merchant IS NULL
            OR s.batch_in_force <> in_batch
        THEN
            RETURN early_reply(s, in_batch, digest);
        END IF;

        price     := (in_amount * k.points_per_yuan + 99) / 100;
        missing   := price;
        available := -price;
        kept      := '{}';
        posted    := '{}';
        FOREACH l IN ARRAY coalesce(s.lots, '{}') LOOP
            IF l.expiry >= current_date THEN
                available := available + l.points;
                taken := least(l.points, missing);
                IF taken > 0 THEN
                    missing := missing - taken;
                    l.points := l.points - taken;
                    posted := posted || ARRAY[
                        ROW('Lot', s.member, l.issuer, l.expiry, k.program, -taken),
                        ROW('Redeemed', s.merchant, l.issuer, NULL, k.program, taken)
                    ]::leg[];
                END IF;
            END IF;
            IF l.points > 0 THEN
                kept := kept || l;
            END IF;
        END LOOP;
        IF missing > 0 THEN
            answer := declined('51');
            INSERT INTO entry
            VALUES (seq, in_terminal, in_batch, in_stan, digest, now(), s.open_date, s.member,
                    s.merchant, k.valid_from, answer, '{}');
            RETURN answer;
        END IF;

        worth      := value_fen(price, k.points_per_yuan);
        settlement := in_amount * k.settlement_numerator / k.settlement_denominator;
        fee        := half_up(in_amount, k.fee_permille, 1000);
        answer     := ROW('00', retrieval_number(seq), seq % 1000000, s.open_date, in_amount,
                          -price, available);
        IF post(ROW(seq, in_terminal, in_batch, in_stan, digest, now(), s.open_date, s.member,
                    s.merchant, k.valid_from, answer, posted || ARRAY[
                ROW('Fund', k.program, NULL, NULL, 156, -worth),
                ROW('Pos', s.merchant, NULL, NULL, 156, settlement),
                ROW('Margin', k.program, NULL, NULL, 156, worth - settlement),
                ROW('Pos', s.merchant, NULL, NULL, 156, -fee),
                ROW('Fee', NULL, NULL, NULL, 156, fee)
            ]::leg[])::entry, k.program, s.version, kept)
        THEN
            RETURN answer;
        END IF;
    END LOOP;
END $$;
