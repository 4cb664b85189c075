// neon.mjs TEST: @neondatabase/serverless over HTTP against pghttpd, compared with pg on the database itself.
// SERVER_URL: pghttpd; LOGIN_URI: a connection string that both understand.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { neon, neonConfig, NeonDbError, types } from '@neondatabase/serverless';
import pg from 'pg';

const { SERVER_URL, LOGIN_URI } = process.env;
neonConfig.fetchEndpoint = `${SERVER_URL}/sql`;
const sql = neon(LOGIN_URI);
const FIELDS = ['severity', 'code', 'detail', 'hint', 'position', 'internalPosition', 'internalQuery', 'where', 'schema',
    'table', 'column', 'dataType', 'constraint', 'file', 'line', 'routine'];

async function direct(work) {
    const client = new pg.Client({ connectionString: LOGIN_URI });
    await client.connect();
    try {
        return await work(client);
    } finally {
        await client.end();
    }
}

async function failure(promise) {
    return promise.then(() => assert.fail('no error'), (e) => e);
}

// The driver carries its own copies of Buffer and PostgresInterval: what is in them counts.
function same(ours, theirs) {
    const shown = (v) => inspect(v, { depth: null, maxArrayLength: null, sorted: true });
    assert.equal(shown(ours), shown(theirs));
}

const tests = {
    async 'tagged templates, query, unsafe'() {
        const id = 7, name = "O'Neil";
        assert.deepEqual(await sql`select ${id}::int as id, ${name}::text as name`, [{ id: 7, name: "O'Neil" }]);
        assert.deepEqual(await sql.query('select $1::int as a, $2::text as b', [1, null]), [{ a: 1, b: null }]);
        const table = sql.unsafe('items');
        assert.deepEqual(await sql`select count(*)::int as n from ${table}`, [{ n: 3 }]);
        const part = sql`where id = ${2}`;
        assert.deepEqual(await sql`select name from items ${part}`, [{ name: 'two' }]);
        assert.deepEqual(await sql``, []);
    },

    async 'arrayMode and fullResults'() {
        assert.deepEqual(await sql.query('select 1 as a, 2 as a', [], { arrayMode: true }), [[1, 2]]);
        const full = await sql.query('select id, name from items order by id', [], { fullResults: true });
        const want = await direct((c) => c.query('select id, name from items order by id'));
        assert.deepEqual(full.rows, want.rows);
        assert.equal(full.rowCount, want.rowCount);
        assert.equal(full.command, want.command);
        assert.deepEqual(full.fields.map((f) => ({ ...f })), want.fields.map((f) => ({ ...f })));
        assert.equal(full.rowAsArray, false);
        const rows = await neon(LOGIN_URI, { arrayMode: true, fullResults: true })`select 1 as a`;
        assert.deepEqual(rows.rows, [[1]]);
        assert.equal(rows.rowAsArray, true);
    },

    async 'commands and counts as pg reports them'() {
        for (const text of ['create temp table x (a int)', 'insert into noted values (50), (51)',
            'update items set name = name where id >= 2', 'delete from items where id >= 50', 'select 1 where false',
            'values (1), (2)', 'with a as (select 1) select * from a', 'show server_version', 'explain select 1',
            'set application_name = \'x\'', 'do $$ begin end $$']) {
            const ours = await sql.query(text, [], { fullResults: true });
            const theirs = await direct((c) => c.query(text));
            assert.equal(ours.command, theirs.command, text);
            assert.equal(ours.rowCount, theirs.rowCount, text);
        }
    },

    async 'values come back as pg gives them'() {
        const expressions = ['1::int2', '9007199254740993::int8', '1.5::float8', "'NaN'::float8", "'-Infinity'::float4",
            '1.50::numeric', 'true', 'null', "'x'::text", "'2020-02-29'::date", "'2020-01-02 03:04:05.678'::timestamp",
            "'2020-01-02 03:04:05+00'::timestamptz", "'1 year 2 days 03:04'::interval", "'{\"a\":[1,{\"b\":null}]}'::json",
            "'{\"a\":1}'::jsonb", "'\\x00ff'::bytea", "array[1,2,null]", "'{}'::int[]", "array[[1,2],[3,4]]",
            "array['a','b,c','d\"e','',null]", "array[1.5,2]::numeric[]", "array['2020-01-01']::date[]",
            "array['{\"a\":1}']::jsonb[]", "'(1,2)'::point", "'<(1,2),3>'::circle", "'10.0.0.1/8'::inet", "int4range(1,5)",
            "'ok'::mood", "row(1,'a b')", "'c0ffee00-0000-4000-8000-000000000000'::uuid", "'žluťoučký 🐘'::text",
            "array[true,false]", "array['\\x01']::bytea[]", "26::oid", "'12:34'::time"];
        const text = 'select ' + expressions.map((e, i) => `${e} as c${i}`).join(', ');
        const ours = await sql.query(text);
        const theirs = await direct((c) => c.query(text));
        same(ours, theirs.rows);
    },

    async 'parameters of every JavaScript type'() {
        const day = new Date('2020-02-29T12:34:56.789Z');
        const text = `select $1::int as i, $2::float8 as f, $3::bool as b, $4::text as t, $5::timestamptz as d, $6::jsonb as j,
            $7::int[] as a, $8::text[] as s, $9::bytea as x, $10::text as n, $11::int8 as big, $12::jsonb as ja`;
        const values = [1, 1.5, true, 'ü "\' \\ \n', day, { a: [1, { b: null }] }, [1, 2, null], ['a,b', 'c"d', '\\', null, ''],
            Buffer.from([0, 255]), null, 9007199254740993n, JSON.stringify([1, 'x'])];
        same(await sql.query(text, values), (await direct((c) => c.query(text, values))).rows);
        const nothing = await sql`select ${undefined}::text as u`;
        assert.deepEqual(nothing, [{ u: null }]);
    },

    async 'error fields equal what pg reports'() {
        await direct((c) => c.query(`create or replace function fails() returns void language plpgsql as $$
            begin raise exception 'own' using errcode = 'P0042', detail = 'd', hint = 'h', column = 'c', constraint = 'k',
            datatype = 't', table = 'tb', schema = 's'; end $$`));
        for (const text of ['select nope', 'selec 1', "insert into items values (1,'again')", 'insert into items (name) values (\'x\')',
            "insert into child values (1, 99)", 'select 1/0', "select 'x'::int", 'select fails()', 'select * from nope',
            "do $$ begin execute 'select broken from items'; end $$", "select 'a'::mood", 'insert into positive values (-1)']) {
            const ours = await failure(sql.query(text));
            const theirs = await failure(direct((c) => c.query(text)));
            assert.ok(ours instanceof NeonDbError, text);
            assert.equal(ours.message, theirs.message, text);
            for (const field of FIELDS) assert.equal(ours[field], theirs[field], `${text}: ${field}`);
        }
    },

    async 'login errors'() {
        const wrong = new URL(LOGIN_URI);
        wrong.password = 'wrong';
        const ours = await failure(neon(wrong.href)`select 1`);
        const theirs = await failure(new pg.Client({ connectionString: wrong.href }).connect());
        assert.ok(ours instanceof NeonDbError);
        for (const field of ['message', 'code', 'severity', 'routine', 'file', 'line']) assert.equal(ours[field], theirs[field], field);
        const none = new URL(LOGIN_URI);
        none.pathname = '/none';
        assert.equal((await failure(neon(none.href)`select 1`)).code, '3D000');
    },

    async 'transactions with all options'() {
        const results = await sql.transaction([sql`insert into items values (60, 'a') returning id`, sql`select count(*)::int as n from items`]);
        assert.deepEqual(results, [[{ id: 60 }], [{ n: 4 }]]);
        assert.deepEqual(await sql.transaction((tx) => [tx`delete from items where id = 60`, tx`select 1 as one`]), [[], [{ one: 1 }]]);
        for (const isolationLevel of ['ReadUncommitted', 'ReadCommitted', 'RepeatableRead', 'Serializable']) {
            const [[level]] = await sql.transaction([sql`show transaction_isolation`], { isolationLevel });
            assert.equal(level.transaction_isolation.replace(' ', ''), isolationLevel.toLowerCase());
        }
        const [[ro], [defer]] = await sql.transaction([sql`show transaction_read_only`, sql`show transaction_deferrable`],
            { isolationLevel: 'Serializable', readOnly: true, deferrable: true });
        assert.equal(ro.transaction_read_only, 'on');
        assert.equal(defer.transaction_deferrable, 'on');
        const [[rw]] = await sql.transaction([sql`show transaction_read_only`], { readOnly: false, deferrable: false });
        assert.equal(rw.transaction_read_only, 'off');
        assert.equal((await failure(sql.transaction([sql`insert into items values (61, 'x')`], { readOnly: true }))).code, '25006');
        const arrays = await sql.transaction([sql`select 1 as a`, sql.query('select 2 as b', [], { fullResults: true })], { arrayMode: true });
        assert.deepEqual(arrays[0], [[1]]);
        assert.deepEqual(arrays[1].rows, [[2]]);
        assert.deepEqual(await sql.transaction([]), []);
        const failed = await failure(sql.transaction([sql`insert into items values (62, 'x')`, sql`select 1/0`]));
        assert.equal(failed.code, '22012');
        assert.deepEqual(await sql`select id from items where id > 60`, []);
    },

    async 'own type parsers'() {
        const mine = { getTypeParser: (oid, format) => (oid === 20 ? (v) => BigInt(v) : types.getTypeParser(oid, format)) };
        assert.deepEqual(await sql.query('select 9007199254740993::int8 as n', [], { types: mine }), [{ n: 9007199254740993n }]);
    },

    async 'abort cancels the statement'() {
        const abort = new AbortController();
        const pending = failure(sql.query('select pg_sleep(60), 987654', [], { fetchOptions: { signal: abort.signal } }));
        const active = () => direct(async (c) => (await c.query(
            "select count(*)::int as n from pg_stat_activity where query like '%987654%' and state = 'active' and pid <> pg_backend_pid()")).rows[0].n);
        const until = async (n) => {
            for (const end = Date.now() + 8000; (await active()) !== n;) assert.ok(Date.now() < end, `not ${n} active`);
        };
        await until(1);
        abort.abort();
        assert.match(String((await pending).message), /abort/i);
        await until(0);
        assert.deepEqual(await sql`select 1 as one`, [{ one: 1 }]);
    },

    async 'fifty at once'() {
        const all = await Promise.all(Array.from({ length: 50 }, (_, i) => sql`select ${i}::int as i, pg_sleep(0.01)::text`));
        all.forEach((rows, i) => assert.equal(rows[0].i, i));
    },

    async 'long connection strings'() {
        const long = new URL(LOGIN_URI);
        long.searchParams.set('ignored', 'x'.repeat(6000));
        assert.deepEqual(await neon(long.href)`select 1 as one`, [{ one: 1 }]);
    },
};

const name = process.argv[2];
if (name) await tests[name]();
else console.log(Object.keys(tests).join('\n'));
