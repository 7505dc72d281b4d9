-- What must hold after any load: each line is a check's name and how many faults it found.
-- Variable: transactions, the number of calls that the load made.

SELECT 'legs of every entry sum to zero in each unit', count(*)
FROM (
    SELECT sequence FROM entry, unnest(legs) GROUP BY sequence, unit HAVING sum(amount) <> 0
) AS unbalanced
UNION ALL
SELECT 'no lot is empty or below zero', count(*)
FROM member_points, unnest(lots) AS l WHERE l.points <= 0
UNION ALL
SELECT 'lots are the opening lots and all their postings', count(*)
FROM (
    SELECT member, expiry, issuer
    FROM (
        SELECT member, expiry, issuer, points FROM opening
        UNION ALL
        SELECT owner, expiry, issuer, amount FROM entry, unnest(legs) WHERE kind = 'Lot'
        UNION ALL
        SELECT member, l.expiry, l.issuer, -l.points FROM member_points, unnest(lots) AS l
    ) AS movement
    GROUP BY member, expiry, issuer HAVING sum(points) <> 0
) AS different
UNION ALL
SELECT 'batch totals are the sums of their entries', count(*)
FROM batch_total AS t
LEFT JOIN (
    SELECT terminal, batch,
           count(*) FILTER (WHERE (reply).points < 0) AS debits,
           -sum((reply).points) FILTER (WHERE (reply).points < 0) AS debited,
           count(*) FILTER (WHERE (reply).points >= 0) AS credits,
           sum((reply).points) FILTER (WHERE (reply).points >= 0) AS credited
    FROM entry WHERE (reply).code = '00' GROUP BY terminal, batch
) AS e USING (terminal, batch)
WHERE (t.debit_count, t.debit_amount, t.credit_count, t.credit_amount)
    IS DISTINCT FROM (coalesce(debits, 0), coalesce(debited, 0),
                      coalesce(credits, 0), coalesce(credited, 0))
UNION ALL
SELECT 'every call left one entry', abs(count(*) - :transactions) FROM entry
UNION ALL
SELECT 'hardly a call was declined', greatest(count(*) - :transactions / 100, 0)
FROM entry WHERE (reply).code <> '00';
