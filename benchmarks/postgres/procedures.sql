-- Accrual and redemption of points, each one call and one transaction.
--
-- Both go the same way: lock the terminal, look everything up in one statement, answer a repeat
-- from its entry, lock the member, decide, change the lots, write the entry with its legs and
-- reply. The locks are advisory: they serialise the repeats of a request and the transactions of a
-- member without writing a row version, and each statement after them sees what the one before
-- committed. They are taken terminal first, so that no two transactions wait for each other.

CREATE FUNCTION half_up(amount bigint, numerator bigint, denominator bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (2 * amount * numerator + denominator) / (2 * denominator);

CREATE FUNCTION value_fen(points bigint, points_per_yuan bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (200 * points + points_per_yuan) / (2 * points_per_yuan);

-- Twelve digits that do not betray the sequence: an affine permutation of 0 .. 10^12 - 1.
CREATE FUNCTION retrieval_number(sequence bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN (sequence * 7368787 + 387420489001) % 1000000000000;

-- Digest of what identifies a request's content.
CREATE FUNCTION content_digest(kind integer, card bigint, amount bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE
RETURN sha256(int4send(kind) || int8send(card) || int8send(amount));

-- All that a decision needs to know besides the lots. One row, or none for an unknown terminal;
-- columns are null where the card, the terms or an earlier entry do not exist. PostgreSQL puts
-- the body into the calling statement, so this costs no call.
CREATE FUNCTION situation(of_terminal integer, of_batch integer, of_stan integer, of_card bigint)
RETURNS TABLE (
    merchant integer, batch_in_force integer, open_date date, member bigint, terms terms,
    points_per_yuan bigint, expiry_months integer, stored_content bytea, stored_reply reply
)
LANGUAGE sql STABLE AS $$
    SELECT t.merchant, t.batch, d.open_date, c.member, k.terms, p.points_per_yuan, p.expiry_months,
           e.content, e.reply
    FROM terminal AS t
    CROSS JOIN business_day AS d
    LEFT JOIN card AS c ON c.number = of_card
    LEFT JOIN LATERAL (
        SELECT terms FROM terms
        WHERE terms.merchant = t.merchant AND terms.valid_from <= current_date
        ORDER BY terms.valid_from DESC LIMIT 1
    ) AS k ON true
    LEFT JOIN program AS p ON p.id = (k.terms).program
    LEFT JOIN entry AS e ON e.terminal = t.id AND e.batch = of_batch AND e.stan = of_stan
    WHERE t.id = of_terminal
$$;

CREATE FUNCTION declined(code char(2)) RETURNS reply
LANGUAGE sql IMMUTABLE
RETURN ROW(code, NULL, NULL, NULL, NULL, NULL, NULL)::reply;

-- The reply where no new decision is due: a repeat gets its stored reply, a duplicate identity
-- 94, an unknown terminal 97, a batch not in force 77, an unknown card 14, no terms 57.
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
    seq       bigint;
    answer    reply;
BEGIN
    PERFORM pg_advisory_xact_lock(1, in_terminal);
    SELECT * INTO s FROM situation(in_terminal, in_batch, in_stan, in_card);
    k := s.terms;
    IF s.stored_content IS NOT NULL OR s.member IS NULL OR k.merchant IS NULL
        OR s.batch_in_force <> in_batch
    THEN
        RETURN early_reply(s, in_batch, digest);
    END IF;
    PERFORM pg_advisory_xact_lock(s.member);

    earned  := in_amount * k.earn_numerator / (100 * k.earn_denominator);
    funding := half_up(earned, k.funding_numerator, k.funding_denominator);
    worth   := value_fen(earned, s.points_per_yuan);
    fee     := half_up(in_amount, k.fee_permille, 1000);
    expires := date_trunc('month', current_date + make_interval(months => s.expiry_months + 1))
               - interval '1 day';

    SELECT coalesce(sum(points), 0) + earned INTO available FROM lot
    WHERE member = s.member AND program = k.program AND expiry >= current_date;

    IF earned > 0 THEN
        INSERT INTO lot (member, program, expiry, issuer, points)
        VALUES (s.member, k.program, expires, s.merchant, earned)
        ON CONFLICT (member, program, expiry, issuer)
        DO UPDATE SET points = lot.points + excluded.points;
    END IF;

    seq := nextval('entry_sequence');
    answer := ROW('00', retrieval_number(seq), seq % 1000000, s.open_date, in_amount, earned,
                  available);
    WITH counted AS (
        UPDATE batch_total
        SET credit_count = credit_count + 1, credit_amount = credit_amount + earned
        WHERE terminal = in_terminal AND batch = in_batch AND unit = k.program
    )
    INSERT INTO entry
    VALUES (seq, in_terminal, in_batch, in_stan, digest, now(), s.open_date, s.member, s.merchant,
            k.valid_from, answer, ARRAY[
        ROW('Lot', s.member, s.merchant, expires, k.program, earned),
        ROW('Issued', k.program, s.merchant, NULL, k.program, -earned),
        ROW('Pos', s.merchant, NULL, NULL, 156, -funding),
        ROW('Fund', k.program, NULL, NULL, 156, worth),
        ROW('Margin', k.program, NULL, NULL, 156, funding - worth),
        ROW('Pos', s.merchant, NULL, NULL, 156, -fee),
        ROW('Fee', NULL, NULL, NULL, 156, fee)
    ]::leg[]);
    RETURN answer;
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
    source     record;
    posted     leg[] := '{}';
    seq        bigint;
    answer     reply;
BEGIN
    PERFORM pg_advisory_xact_lock(1, in_terminal);
    SELECT * INTO s FROM situation(in_terminal, in_batch, in_stan, in_card);
    k := s.terms;
    IF s.stored_content IS NOT NULL OR s.member IS NULL OR k.merchant IS NULL
        OR s.batch_in_force <> in_batch
    THEN
        RETURN early_reply(s, in_batch, digest);
    END IF;
    PERFORM pg_advisory_xact_lock(s.member);

    price := (in_amount * s.points_per_yuan + 99) / 100;
    SELECT coalesce(sum(points), 0) INTO available FROM lot
    WHERE member = s.member AND program = k.program AND expiry >= current_date;
    seq := nextval('entry_sequence');

    IF available < price THEN
        answer := declined('51');
        INSERT INTO entry
        VALUES (seq, in_terminal, in_batch, in_stan, digest, now(), s.open_date, s.member,
                s.merchant, k.valid_from, answer, posted);
        RETURN answer;
    END IF;

    missing := price;
    FOR source IN
        SELECT expiry, issuer, points FROM lot
        WHERE member = s.member AND program = k.program AND expiry >= current_date
        ORDER BY expiry, issuer
    LOOP
        taken := least(source.points, missing);
        IF taken = source.points THEN
            DELETE FROM lot WHERE member = s.member AND program = k.program
                AND expiry = source.expiry AND issuer = source.issuer;
        ELSE
            UPDATE lot SET points = points - taken
            WHERE member = s.member AND program = k.program
                AND expiry = source.expiry AND issuer = source.issuer;
        END IF;
        posted := posted || ARRAY[
            ROW('Lot', s.member, source.issuer, source.expiry, k.program, -taken),
            ROW('Redeemed', s.merchant, source.issuer, NULL, k.program, taken)
        ]::leg[];
        missing := missing - taken;
        EXIT WHEN missing = 0;
    END LOOP;

    worth      := value_fen(price, s.points_per_yuan);
    settlement := in_amount * k.settlement_numerator / k.settlement_denominator;
    fee        := half_up(in_amount, k.fee_permille, 1000);
    answer     := ROW('00', retrieval_number(seq), seq % 1000000, s.open_date, in_amount, -price,
                      available - price);
    WITH counted AS (
        UPDATE batch_total
        SET debit_count = debit_count + 1, debit_amount = debit_amount + price
        WHERE terminal = in_terminal AND batch = in_batch AND unit = k.program
    )
    INSERT INTO entry
    VALUES (seq, in_terminal, in_batch, in_stan, digest, now(), s.open_date, s.member, s.merchant,
            k.valid_from, answer, posted || ARRAY[
        ROW('Fund', k.program, NULL, NULL, 156, -worth),
        ROW('Pos', s.merchant, NULL, NULL, 156, settlement),
        ROW('Margin', k.program, NULL, NULL, 156, worth - settlement),
        ROW('Pos', s.merchant, NULL, NULL, 156, -fee),
        ROW('Fee', NULL, NULL, NULL, 156, fee)
    ]::leg[]);
    RETURN answer;
END $$;
