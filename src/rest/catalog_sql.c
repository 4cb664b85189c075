/* The queries of a load, in the order of enum catalog_query. They run in one read-only transaction
 * with an empty search_path, so that every name PostgreSQL prints is qualified. Arrays run in
 * parallel: element i of each belongs to column (parameter) i.
 *
 * Parameters are text arrays: the exposed schemas, the extra search path, the names of function
 * settings that are hoisted; which of them a query takes is in the table below. */
#include "rest/catalog_private.h"

static const char settings[] = "SELECT pg_catalog.set_config('search_path', '', true),"
                               " pg_catalog.set_config('transaction_read_only', 'on', true),"
                               " pg_catalog.set_config('role', 'none', true),"
                               " pg_catalog.set_config('statement_timeout', '0', true),"
                               " pg_catalog.current_setting('server_version_num')";

static const char domains[] =
    "SELECT t.oid, t.typbasetype, t.typtypmod, pg_catalog.pg_get_expr(t.typdefaultbin, 0),"
    " t.typnotnull, pg_catalog.format_type(t.typbasetype, NULL), n.nspname = 'pg_catalog',"
    " n.nspname, coalesce(c.relname, b.typname), b.typtype"
    " FROM pg_catalog.pg_type t"
    " JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype"
    " JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace"
    " LEFT JOIN pg_catalog.pg_class c ON c.oid = b.typrelid"
    " WHERE t.typtype = 'd' ORDER BY t.oid";

static const char enums[] =
    "SELECT enumtypid, pg_catalog.array_agg(enumlabel ORDER BY enumsortorder)"
    " FROM pg_catalog.pg_enum GROUP BY enumtypid ORDER BY enumtypid";

/* Implicit casts by function between a domain and json or text. */
static const char casts[] =
    "SELECT pg_catalog.format_type(c.castsource, NULL), pg_catalog.format_type(c.casttarget, NULL),"
    " c.castfunc::pg_catalog.regproc::pg_catalog.text"
    " FROM pg_catalog.pg_cast c"
    " JOIN pg_catalog.pg_type s ON s.oid = c.castsource"
    " JOIN pg_catalog.pg_type t ON t.oid = c.casttarget"
    " WHERE c.castcontext = 'i' AND c.castmethod = 'f'"
    " AND pg_catalog.has_function_privilege(c.castfunc, 'execute')"
    " AND ((s.typtype = 'd' AND c.casttarget IN (25, 114))"
    " OR (t.typtype = 'd' AND c.castsource IN (25, 114)))";

/* relkind, row security, what can be done (8 insert, 4 update, 16 delete), then the columns. */
static const char relations[] =
    "SELECT c.oid, n.nspname, c.relname, d.description, c.relkind, c.relrowsecurity,"
    " CASE WHEN c.relkind IN ('r', 'p') THEN 28 WHEN c.relkind IN ('v', 'f')"
    " THEN pg_catalog.pg_relation_is_updatable(c.oid, true) ELSE 0 END,"
    " a.nums, a.names, a.types, a.nominals, a.oids, a.mods, a.nns, a.defaults, a.descriptions"
    " FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0"
    " AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass"
    " CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(num) AS nums,"
    " pg_catalog.array_agg(name) AS names, pg_catalog.array_agg(typ) AS types,"
    " pg_catalog.array_agg(nominal) AS nominals, pg_catalog.array_agg(oid) AS oids,"
    " pg_catalog.array_agg(mod) AS mods, pg_catalog.array_agg(nn) AS nns,"
    " pg_catalog.array_agg(def) AS defaults, pg_catalog.array_agg(description) AS descriptions"
    " FROM (SELECT a.attnum AS num, a.attname AS name,"
    " CASE WHEN t.typnamespace = 11 THEN pg_catalog.format_type(a.atttypid, NULL)"
    " ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END AS typ,"
    " pg_catalog.format_type(a.atttypid, a.atttypmod) AS nominal,"
    " a.atttypid AS oid, a.atttypmod AS mod, a.attnotnull AS nn,"
    " CASE WHEN a.attidentity = 'd' THEN (SELECT"
    " pg_catalog.format('nextval(%L)', s.objid::pg_catalog.regclass)"
    " FROM pg_catalog.pg_depend s WHERE s.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass"
    " AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.deptype = 'i' LIMIT 1)"
    " WHEN a.attgenerated = 's' THEN NULL"
    " ELSE pg_catalog.pg_get_expr(ad.adbin, ad.adrelid) END AS def,"
    " cd.description"
    " FROM pg_catalog.pg_attribute a"
    " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " LEFT JOIN pg_catalog.pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum"
    " LEFT JOIN pg_catalog.pg_description cd ON cd.objoid = a.attrelid AND cd.objsubid = a.attnum"
    " AND cd.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass"
    " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) x) a"
    " WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition"
    " AND n.nspname = ANY ($1::pg_catalog.text[])"
    " ORDER BY c.oid";

/* Relations whose use may change the session: a volatile function stands behind them. Functions of
 * the user's own are found by pg_depend, those of pg_catalog (which it does not record) by their
 * number in the expression: the few that change a session or run any SQL. Functions in C of an
 * extension (uuid_generate_v4 and the like) count as harmless. Reads see views and policies, and
 * what views stand on; writes see triggers, defaults, checks and rules, partitions and children,
 * and what foreign keys cascade to. A stable function that lies is not seen, nor the check of a
 * domain: every hundredth job resets its connection regardless. */
static const char state[] =
    "WITH RECURSIVE fns AS MATERIALIZED (SELECT p.oid FROM pg_catalog.pg_proc p"
    " WHERE p.provolatile = 'v' AND p.pronamespace <> 11 AND NOT (p.prolang = 13"
    " AND EXISTS (SELECT FROM pg_catalog.pg_depend e"
    " WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid"
    " AND e.deptype = 'e'))),"
    " own AS (SELECT ':funcid (' || pg_catalog.string_agg(p.oid::pg_catalog.text, '|') || ') '"
    " AS re"
    " FROM pg_catalog.pg_proc p WHERE p.pronamespace = 11"
    " AND (p.proname IN ('set_config', 'pg_advisory_lock', 'pg_advisory_lock_shared',"
    " 'pg_try_advisory_lock', 'pg_try_advisory_lock_shared', 'pg_advisory_unlock',"
    " 'pg_advisory_unlock_shared', 'pg_advisory_unlock_all', 'ts_stat', 'ts_rewrite')"
    " OR p.proname ~ '^(query|cursor|table|schema|database)_to_xml')),"
    " uses AS MATERIALIZED (SELECT d.classid, d.objid FROM pg_catalog.pg_depend d"
    " JOIN fns ON fns.oid = d.refobjid"
    " WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass"
    " UNION SELECT d.classid, d.objid FROM pg_catalog.pg_depend d"
    " JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid JOIN fns ON fns.oid = o.oprcode"
    " WHERE d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass),"
    " rules AS MATERIALIZED (SELECT r.oid, r.ev_class, r.ev_type, (r.oid IN (SELECT objid"
    " FROM uses WHERE classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass)"
    " OR r.ev_action::pg_catalog.text ~ (SELECT re FROM own)) AS bad"
    " FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class"
    " WHERE c.relnamespace <> 11 AND c.relkind <> 'm' AND r.ev_class >= 16384),"
    " above AS MATERIALIZED (SELECT DISTINCT r.ev_class AS top, d.refobjid AS low"
    " FROM rules r"
    " JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass"
    " AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass"
    " AND d.refobjid <> r.ev_class),"
    " reads AS (SELECT ev_class AS oid FROM rules WHERE bad AND ev_type = '1'"
    " UNION SELECT p.polrelid FROM pg_catalog.pg_policy p WHERE p.oid IN (SELECT objid"
    " FROM uses WHERE classid = 'pg_catalog.pg_policy'::pg_catalog.regclass)"
    " OR p.polqual::pg_catalog.text ~ (SELECT re FROM own)"
    " OR p.polwithcheck::pg_catalog.text ~ (SELECT re FROM own) UNION SELECT a.top"
    " FROM reads JOIN above a ON a.low = reads.oid),"
    " wider AS MATERIALIZED (SELECT top, low FROM above UNION SELECT inhparent, inhrelid"
    " FROM pg_catalog.pg_inherits UNION SELECT confrelid, conrelid"
    " FROM pg_catalog.pg_constraint WHERE contype = 'f' AND (confupdtype IN ('c', 'n', 'd')"
    " OR confdeltype IN ('c', 'n', 'd'))),"
    " base AS (SELECT oid FROM reads UNION SELECT ev_class FROM rules WHERE bad"
    " UNION SELECT t.tgrelid FROM pg_catalog.pg_trigger t"
    " JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal"
    " AND p.pronamespace <> 11 UNION SELECT ad.adrelid FROM pg_catalog.pg_attrdef ad"
    " WHERE ad.oid IN (SELECT objid FROM uses"
    " WHERE classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass)"
    " OR ad.adbin::pg_catalog.text ~ (SELECT re FROM own) UNION SELECT k.conrelid"
    " FROM pg_catalog.pg_constraint k WHERE k.contype = 'c' AND (k.oid IN (SELECT objid"
    " FROM uses WHERE classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass)"
    " OR k.conbin::pg_catalog.text ~ (SELECT re FROM own))),"
    " writes AS (SELECT oid FROM base UNION SELECT w.top FROM writes"
    " JOIN wider w ON w.low = writes.oid) SELECT c.oid, c.oid IN (SELECT oid FROM reads)"
    " FROM writes JOIN pg_catalog.pg_class c ON c.oid = writes.oid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = ANY ($1::pg_catalog.text[])";

static const char constraints[] =
    "SELECT contype, conname, conrelid, conkey, confrelid, confkey"
    " FROM pg_catalog.pg_constraint"
    " WHERE (contype IN ('p', 'u') OR contype = 'f' AND conparentid = 0)"
    " AND conrelid <> 0 AND connamespace <> 11"
    " ORDER BY conrelid, conname";

/* Functions from a row to a row (or rows) of relations. */
static const char computed[] =
    "SELECT n.nspname, p.proname, a.typrelid, r.typrelid, NOT p.proretset OR p.prorows = 1"
    " FROM pg_catalog.pg_proc p"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    " JOIN pg_catalog.pg_type a ON a.oid = p.proargtypes[0] AND a.typrelid <> 0"
    " JOIN pg_catalog.pg_type r ON r.oid = p.prorettype AND r.typrelid <> 0"
    " WHERE p.pronargs = 1 AND n.nspname = ANY ($1::pg_catalog.text[])";

/* proargnames, -modes and -types over all parameters; which count as input is for the builder. */
static const char routines[] =
    "SELECT n.nspname, p.proname, d.description, p.proargnames, p.proargmodes,"
    " (SELECT pg_catalog.array_agg(pg_catalog.format_type(o, NULL) ORDER BY i) FROM"
    " pg_catalog.unnest(coalesce(p.proallargtypes, p.proargtypes::pg_catalog.oid[]))"
    " WITH ORDINALITY AS _(o, i)),"
    " p.pronargs - p.pronargdefaults, p.provariadic <> 0, p.provolatile, p.proretset,"
    " t.oid, tn.nspname, coalesce(tc.relname, t.typname), t.typtype,"
    " (SELECT pg_catalog.array_agg(s) FROM pg_catalog.unnest(p.proconfig) s"
    " WHERE s LIKE 'default_transaction_isolation=%'"
    " OR pg_catalog.substr(s, 1, pg_catalog.strpos(s, '=') - 1) = ANY ($2::pg_catalog.text[]))"
    " FROM pg_catalog.pg_proc p"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    " JOIN pg_catalog.pg_type t ON t.oid = p.prorettype"
    " JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace"
    " LEFT JOIN pg_catalog.pg_class tc ON tc.oid = t.typrelid"
    " LEFT JOIN pg_catalog.pg_description d ON d.objoid = p.oid AND d.objsubid = 0"
    " AND d.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass"
    " WHERE p.prokind = 'f' AND n.nspname = ANY ($1::pg_catalog.text[])";

/* Aggregates over a row type (or any) and scalar functions that return a domain named like a media
 * type. */
static const char handlers[] =
    "WITH media AS (SELECT t.oid, pg_catalog.lower(t.typname) AS name, n.nspname"
    " FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
    " WHERE t.typtype = 'd' AND (t.typname = '*/*'"
    " OR t.typname ~* '^[A-Za-z0-9.-]+/[A-Za-z0-9.\\+-]+$'))"
    " SELECT n.nspname, p.proname, a.oid = 2283, an.nspname, a.typname, m.name"
    " FROM pg_catalog.pg_proc p"
    " JOIN media m ON m.oid = p.prorettype"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    " JOIN pg_catalog.pg_type a ON a.oid = p.proargtypes[0]"
    " JOIN pg_catalog.pg_namespace an ON an.oid = a.typnamespace"
    " LEFT JOIN pg_catalog.pg_class c ON c.oid = a.typrelid"
    " WHERE p.prokind = 'a' AND p.pronargs = 1 AND n.nspname = ANY ($1::pg_catalog.text[])"
    " AND (a.oid = 2283 OR c.relkind IN ('r', 'v', 'm', 'f', 'p'))"
    " UNION ALL"
    " SELECT m.nspname, m.name, false, n.nspname, p.proname, m.name"
    " FROM pg_catalog.pg_proc p"
    " JOIN media m ON m.oid = p.prorettype"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    " WHERE p.prokind = 'f' AND NOT p.proretset AND n.nspname = ANY ($1::pg_catalog.text[])";

/* Settings of the roles that requests may take on, as far as the login may set them. Not the
 * client_encoding: what goes in and out here is UTF-8, whoever asks. PostgreSQL 14 does not know
 * has_parameter_privilege, so the name stands in a string that is only run from 15 on. */
static const char roles[] =
    "SELECT r.rolname, (SELECT pg_catalog.array_agg(s) FROM pg_catalog.unnest(r.rolconfig) s"
    " JOIN pg_catalog.pg_settings g"
    " ON g.name = pg_catalog.substr(s, 1, pg_catalog.strpos(s, '=') - 1)"
    " WHERE g.name <> 'client_encoding' AND CASE WHEN g.context = 'user' THEN true WHEN"
    " pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 150000 THEN"
    " pg_catalog.query_to_xml(pg_catalog.format("
    "'SELECT pg_catalog.has_parameter_privilege(%s::pg_catalog.oid, %L, ''set'') AS allowed',"
    " m.member, g.name), false, false, '')::pg_catalog.text LIKE '%<allowed>true<%'"
    " ELSE false END)"
    " FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid"
    " WHERE m.member = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)"
    " AND r.rolconfig IS NOT NULL";

static const char views[] = "SELECT c.oid, r.ev_action::pg_catalog.text"
                            " FROM pg_catalog.pg_rewrite r"
                            " JOIN pg_catalog.pg_class c ON c.oid = r.ev_class"
                            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                            " WHERE r.ev_type = '1' AND c.relkind IN ('v', 'm')"
                            " AND n.nspname = ANY ($1::pg_catalog.text[] || $2::pg_catalog.text[])"
                            " ORDER BY c.oid";

const struct catalog_sql catalog_sql[CATALOG_QUERIES] = {
    [CATALOG_Q_SETTINGS] = {settings, 0, 5},
    [CATALOG_Q_DOMAINS] = {domains, 0, 10},
    [CATALOG_Q_ENUMS] = {enums, 0, 2},
    [CATALOG_Q_CASTS] = {casts, 0, 3},
    [CATALOG_Q_RELATIONS] = {relations, CATALOG_P_SCHEMAS, 16},
    [CATALOG_Q_STATE] = {state, CATALOG_P_SCHEMAS, 2},
    [CATALOG_Q_CONSTRAINTS] = {constraints, 0, 6},
    [CATALOG_Q_COMPUTED] = {computed, CATALOG_P_SCHEMAS, 5},
    [CATALOG_Q_ROUTINES] = {routines, CATALOG_P_SCHEMAS | CATALOG_P_HOISTED, 15},
    [CATALOG_Q_HANDLERS] = {handlers, CATALOG_P_SCHEMAS, 6},
    [CATALOG_Q_ROLES] = {roles, 0, 2},
    [CATALOG_Q_VIEWS] = {views, CATALOG_P_SCHEMAS | CATALOG_P_EXTRA, 2},
};
