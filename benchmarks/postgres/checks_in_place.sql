-- What must hold besides `checks.sql` where balances are kept in place.

SELECT 'balances are the sums of their legs', count(*)
FROM (
    SELECT date, kind, owner, issuer, unit
    FROM (
        SELECT date, kind, owner, issuer, unit, amount FROM balance
        UNION ALL
        SELECT date, kind, coalesce(owner, 0), coalesce(issuer, 0), unit, -amount
        FROM account_balance WHERE kind <> 'Lot'
    ) AS movement
    GROUP BY date, kind, owner, issuer, unit HAVING sum(amount) <> 0
) AS different;
