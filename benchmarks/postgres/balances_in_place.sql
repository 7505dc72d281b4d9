-- The other way to keep balances: a row for each account, changed by every posting.
--
-- Fund, Margin and Fee are one row each for the whole alliance, and a changed row stays locked
-- until its transaction is on disk, so this variant commits hardly more than one transaction a
-- sync. It is measured beside the appending one to show why that is the yardstick. Accounts are
-- taken in one order, so that transactions cannot wait for each other in a circle.

CREATE TABLE balance (
    date   date         NOT NULL,
    kind   account_kind NOT NULL,
    owner  bigint       NOT NULL,
    issuer integer      NOT NULL,
    unit   smallint     NOT NULL,
    amount bigint       NOT NULL,
    PRIMARY KEY (date, kind, owner, issuer, unit)
) WITH (fillfactor = 50);

CREATE FUNCTION post_balances() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO balance AS b (date, kind, owner, issuer, unit, amount)
    SELECT NEW.date, kind, coalesce(owner, 0), coalesce(issuer, 0), unit, sum(amount)
    FROM unnest(NEW.legs)
    WHERE kind <> 'Lot'             -- lots have rows of their own
    GROUP BY kind, owner, issuer, unit
    ORDER BY kind, owner, issuer, unit
    ON CONFLICT (date, kind, owner, issuer, unit)
    DO UPDATE SET amount = b.amount + excluded.amount;
    RETURN NULL;
END $$;

CREATE TRIGGER post_balances AFTER INSERT ON entry
FOR EACH ROW EXECUTE FUNCTION post_balances();
