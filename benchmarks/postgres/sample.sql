-- Sample data: one program, 1,000 merchants, terminals of one batch, members with two lots each.
-- Variables: members, terminals. The opening lots are kept beside, for the checks.

INSERT INTO business_day VALUES (current_date);

INSERT INTO terms                       -- a version that has been replaced, and the one in force
SELECT m, day, 1, 100, 24, 1, 1, 1, 1, 95, 100, 6
FROM generate_series(1, 1000) AS m, (VALUES (current_date - 400), (current_date - 30)) AS v (day);

INSERT INTO terminal SELECT t, 1 + t % 1000, 1 FROM generate_series(0, :terminals - 1) AS t;
INSERT INTO batch_total (terminal, batch, unit) SELECT id, batch, 1 FROM terminal;

INSERT INTO card SELECT m, m FROM generate_series(1, :members) AS m;
INSERT INTO member_points (member, program, lots)
SELECT m, 1, array_agg(
    ROW((date_trunc('month', current_date) + make_interval(months => later))::date - 1,
        1 + (m * 7919 + later) % 1000, 2500)::lot ORDER BY later)
FROM generate_series(1, :members) AS m, (VALUES (6), (12)) AS v (later)
GROUP BY m;

CREATE TABLE opening AS
SELECT member, l.expiry, l.issuer, l.points FROM member_points, unnest(lots) AS l;
