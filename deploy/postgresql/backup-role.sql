-- The role that Holdfast's workers connect as, with no more than it needs. Run it once, as a superuser, in any database of the server:
--   psql -f backup-role.sql, then \password holdfast_backup
-- PostgreSQL 14 and newer, and YugabyteDB's PostgreSQL 15 line. What each line is for:

-- CREATEDB: a drill, a verification of level `restore` and a restore make databases of their own, which belong to this role.
-- BYPASSRLS: a table with row level security is backed up whole; without it such a table is refused, never read in part.
CREATE ROLE holdfast_backup LOGIN CREATEDB BYPASSRLS;

-- Read every table, sequence and schema, also those that are made later.
GRANT pg_read_all_data TO holdfast_backup;

-- Not granted, on purpose: membership in the roles that own the objects. Without it, restored objects belong to holdfast_backup: write
-- `restore: { owner: holdfast_backup }` in the plan. To have them belong to their owners, grant these (GRANT orders_owner TO holdfast_backup).
