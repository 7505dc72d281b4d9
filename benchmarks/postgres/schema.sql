-- The ledger's tables, as an expert in PostgreSQL would lay them out for speed.
--
-- Amounts are whole numbers: fen where the unit is 156, points of program Pnn where it is nn.
-- A leg's sign is the ledger's: + a credit, - a debit; the legs of an entry sum to zero in each
-- unit. An entry keeps its legs in an array of its own row, so that posting to a hot account (the
-- fund, the margin, a busy merchant) appends and never waits for a lock; `account_balance` sums
-- them by account and business date when the night asks.

CREATE TYPE account_kind AS ENUM (
    'Lot', 'Issued', 'Redeemed',        -- points
    'Pos', 'Fund', 'Margin', 'Fee'      -- money
);

CREATE TYPE leg AS (
    kind   account_kind,
    owner  bigint,      -- member of a lot, party of a position, redeemer, program of a fund
    issuer integer,     -- of points; null elsewhere
    expiry date,        -- of a lot; null elsewhere
    unit   smallint,
    amount bigint
);

CREATE TYPE lot AS (
    expiry date,
    issuer integer,
    points bigint
);

CREATE TYPE reply AS (
    code          char(2),   -- field 39
    rrn           bigint,    -- field 37
    approval      integer,   -- field 38
    business_date date,      -- field 15
    amount        bigint,    -- field 4
    points        bigint,    -- tag 30: points moved, signed
    available     bigint     -- field 54
);

CREATE TABLE business_day (open_date date NOT NULL);

-- What holds for a merchant from a day on, until a later row takes over. What is fixed for the
-- program's life stands here too, so that the look-up joins one table less.
CREATE TABLE terms (
    merchant               integer  NOT NULL,
    valid_from             date     NOT NULL,
    program                smallint NOT NULL,
    points_per_yuan        bigint   NOT NULL CHECK (points_per_yuan > 0),
    expiry_months          integer  NOT NULL,
    earn_numerator         bigint   NOT NULL,   -- points per yuan of the sale
    earn_denominator       bigint   NOT NULL,
    funding_numerator      bigint   NOT NULL,   -- fen that the issuer pays per point
    funding_denominator    bigint   NOT NULL,
    settlement_numerator   bigint   NOT NULL,   -- part of a value that the redeemer is paid
    settlement_denominator bigint   NOT NULL,
    fee_permille           bigint   NOT NULL,
    PRIMARY KEY (merchant, valid_from)
);

CREATE TABLE terminal (
    id       integer PRIMARY KEY,
    merchant integer NOT NULL,
    batch    integer NOT NULL       -- the one in force
);

CREATE TABLE card (
    number bigint PRIMARY KEY,
    member bigint NOT NULL
);

-- A member's lots of a program are one row, in the order of spending: earliest expiry first, then
-- the issuer. So a transaction changes one row and no index; a row for each lot was no faster.
CREATE TABLE member_points (
    member  bigint   NOT NULL,
    program smallint NOT NULL,
    version integer  NOT NULL DEFAULT 0,
    lots    lot[]    NOT NULL DEFAULT '{}',
    PRIMARY KEY (member, program)
) WITH (fillfactor = 60);           -- room for a row's next version on its own page

CREATE TABLE batch_total (
    terminal      integer  NOT NULL,
    batch         integer  NOT NULL,
    unit          smallint NOT NULL,
    debit_count   integer  NOT NULL DEFAULT 0,
    debit_amount  bigint   NOT NULL DEFAULT 0,
    credit_count  integer  NOT NULL DEFAULT 0,
    credit_amount bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (terminal, batch, unit)
) WITH (fillfactor = 25);           -- few rows, each changed by every transaction of its terminal

CREATE SEQUENCE entry_sequence;

CREATE TABLE entry (
    sequence    bigint      PRIMARY KEY,
    terminal    integer     NOT NULL,
    batch       integer     NOT NULL,
    stan        integer     NOT NULL,
    content     bytea       NOT NULL,     -- digest of the request
    at          timestamptz NOT NULL,
    date        date        NOT NULL,     -- business date
    member      bigint      NOT NULL,
    merchant    integer     NOT NULL,
    terms_from  date        NOT NULL,     -- version of the terms that were used
    reply       reply       NOT NULL,     -- stored, for a repeat of the request
    legs        leg[]       NOT NULL,
    UNIQUE (terminal, batch, stan)
);

CREATE VIEW account_balance AS
SELECT date, (l).kind, (l).owner, (l).issuer, (l).expiry, (l).unit, sum((l).amount) AS amount
FROM (SELECT date, unnest(legs)::leg AS l FROM entry) AS posted
GROUP BY date, (l).kind, (l).owner, (l).issuer, (l).expiry, (l).unit;
