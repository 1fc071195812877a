-- No random(), no dates: every value follows from its row number. Run here in a file, and by `compare` in memory.
PRAGMA cache_size = -16000;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city INTEGER NOT NULL, note TEXT);
CREATE TABLE sale (id INTEGER PRIMARY KEY, person INTEGER REFERENCES person (id), cents INTEGER, tag TEXT);
BEGIN;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO person
  SELECT i, printf('name-%08x', i * 2654435761 % 4294967296), i * 7919 % 211, substr(hex(i * i), 1, i % 40) FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70000)
INSERT INTO sale SELECT i, 1 + i * 104729 % 20000, i * 31 % 100003, printf('tag-%d', i % 997) FROM n;
COMMIT;
CREATE INDEX person_name ON person (name);
CREATE INDEX person_city ON person (city, name);
CREATE INDEX sale_person ON sale (person, cents);
CREATE INDEX sale_tag ON sale (tag);
ANALYZE;
SELECT count(*), sum(length(name)), sum(length(note)) FROM person;
SELECT p.city, count(*), sum(s.cents), min(s.tag), max(p.name)
  FROM person p JOIN sale s ON s.person = p.id GROUP BY p.city ORDER BY sum(s.cents) DESC, p.city LIMIT 50;
SELECT a.name, b.name FROM person a JOIN person b ON b.city = a.city AND b.id = a.id + 211 ORDER BY a.name LIMIT 20;
SELECT tag, total, rank FROM (
  SELECT tag, sum(cents) AS total, rank() OVER (ORDER BY sum(cents) DESC) AS rank FROM sale GROUP BY tag)
  WHERE rank <= 30 ORDER BY rank, tag;
SELECT length(group_concat(tag || cents, '/')) FROM (SELECT tag, cents FROM sale ORDER BY cents, id);
UPDATE person SET note = note || name || note WHERE city % 3 = 0;
UPDATE sale SET tag = upper(tag), cents = cents + 1 WHERE person % 5 = 2;
DELETE FROM sale WHERE id % 4 = 1;
SELECT count(*), sum(cents), count(DISTINCT tag) FROM sale;
WITH RECURSIVE chain (id, depth) AS (
  SELECT 1, 0 UNION ALL SELECT 1 + id * 48271 % 20000, depth + 1 FROM chain WHERE depth < 2000)
SELECT count(DISTINCT id), max(depth), sum(id) FROM chain;
SELECT json_group_array(json_object('id', id, 'name', name)) FROM (SELECT * FROM person ORDER BY name LIMIT 4000);
DELETE FROM person WHERE id NOT IN (SELECT person FROM sale);
VACUUM;
PRAGMA integrity_check;
