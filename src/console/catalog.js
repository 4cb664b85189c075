// What the database has, for completion and for the names of types: read once through /sql with the caller's own rights.
import { rows } from './api.js';
import { keywords } from './lexer.js';

const TABLES = `select n.nspname, c.relname,
       case c.relkind when 'v' then 'view' when 'm' then 'view' else 'table' end,
       pg_catalog.pg_table_is_visible(c.oid),
       n.nspname in ('pg_catalog', 'information_schema'),
       (select pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)) order by a.attnum)
          from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'v', 'm', 'p', 'f') and pg_catalog.has_schema_privilege(n.oid, 'usage') and n.nspname !~ '^pg_(toast|temp)'
 order by 5, 1, 2 limit 3000`;
const FUNCTIONS = `select distinct n.nspname, p.proname, pg_catalog.pg_function_is_visible(p.oid), n.nspname = 'pg_catalog'
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
 where p.prorettype not in ('pg_catalog.internal'::pg_catalog.regtype, 'pg_catalog.trigger'::pg_catalog.regtype)
   and 'pg_catalog.internal'::pg_catalog.regtype <> all (p.proargtypes::pg_catalog.oid[])
   and n.nspname <> 'information_schema' and pg_catalog.has_schema_privilege(n.oid, 'usage') and p.proname !~ '^_'
 order by 4, 1, 2 limit 5000`;
const TYPES = `select t.oid, pg_catalog.format_type(t.oid, null) from pg_catalog.pg_type t
 where (t.typrelid = 0 or exists (select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c')) and t.typtype <> 'p' limit 5000`;

export const catalog = {
  tables: [], functions: [], schemas: [], types: new Map(), keywords: [...keywords],
  columns(schema, name) {
    const t = this.tables.find(x => x.name === name && (schema ? x.schema === schema : x.visible)) ||
      (schema ? undefined : this.tables.find(x => x.name === name));
    return t ? t.columns : [];
  },
  typeName(oid) { return this.types.get(String(oid)) || BUILT_IN[oid] || (oid ? 'type ' + oid : ''); },
  async load() {
    const [tables, functions, types] = await Promise.all([rows(TABLES), rows(FUNCTIONS), rows(TYPES)]);
    this.tables = tables.map(([schema, name, kind, visible, system, columns]) =>
      ({ schema, name, kind, visible: visible === 't', system: system === 't', columns: columns ? JSON.parse(columns) : [] }));
    this.functions = functions.map(([schema, name, visible, system]) => ({ schema, name, visible: visible === 't', system: system === 't' }));
    this.schemas = [...new Set(this.tables.map(t => t.schema))].sort();
    this.types = new Map(types);
  },
};

// Of results that come before the catalog does, or without leave to read it.
const BUILT_IN = { 16: 'boolean', 17: 'bytea', 19: 'name', 20: 'bigint', 21: 'smallint', 23: 'integer', 25: 'text', 26: 'oid', 114: 'json', 700: 'real',
  701: 'double precision', 1042: 'character', 1043: 'character varying', 1082: 'date', 1083: 'time', 1114: 'timestamp', 1184: 'timestamp with time zone',
  1700: 'numeric', 2950: 'uuid', 3802: 'jsonb' };
export const NUMBERS = new Set([20, 21, 23, 26, 700, 701, 790, 1700]);
export const JSONS = new Set([114, 3802]);
