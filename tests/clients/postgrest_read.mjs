// postgrest_read.mjs TEST: @supabase/postgrest-js reading the demo database through pghttpd, beside what pg reads there.
// SERVER_URL: pghttpd; JWT_SECRET: its secret; CLUSTER_URI: the database itself.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { PostgrestClient } from '@supabase/postgrest-js';
import pg from 'pg';

const { SERVER_URL, JWT_SECRET, CLUSTER_URI } = process.env;

function token(claims) {
    const part = (v) => Buffer.from(JSON.stringify(v)).toString('base64url');
    const head = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
    return `${head}.${createHmac('sha256', JWT_SECRET).update(head).digest('base64url')}`;
}

const anon = new PostgrestClient(`${SERVER_URL}/rest`);
const staff = new PostgrestClient(`${SERVER_URL}/rest`, { headers: { Authorization: `Bearer ${token({ role: 'staff' })}` } });

// What the same question gives in SQL, as JSON.
async function sql(query) {
    const client = new pg.Client({ connectionString: CLUSTER_URI });
    await client.connect();
    try {
        const { rows } = await client.query(`select coalesce(json_agg(t), '[]') as j from (${query}) t`);
        return rows[0].j;
    } finally {
        await client.end();
    }
}

const ok = ({ data, error, status, count }) => (assert.equal(error, null, JSON.stringify(error)), { data, status, count });

async function same(request, query) {
    assert.deepEqual(ok(await request).data, await sql(query));
}

const products = (columns = 'id') => anon.from('products').select(columns).order('id');

const tests = {
    async 'filters'() {
        const from = 'select id from api.products where';
        await same(products().eq('id', 7), `${from} id = 7`);
        await same(products().neq('stock', 0).lt('price', 20), `${from} stock <> 0 and price < 20 order by id`);
        await same(products().gte('price', 50).lte('price', 60), `${from} price between 50 and 60 order by id`);
        await same(products().like('name', '%Oaxaca%'), `${from} name like '%Oaxaca%' order by id`);
        await same(products().ilike('name', '%OAXACA%'), `${from} name ilike '%oaxaca%' order by id`);
        await same(products().likeAnyOf('name', ['A%', 'B%']), `${from} name like any ('{A%,B%}') order by id`);
        await same(products().is('on_sale', null), `${from} on_sale is null order by id`);
        await same(products().in('id', [3, 1, 2]), `${from} id in (1, 2, 3) order by id`);
        await same(products().contains('tags', ['new']), `${from} tags @> '{new}' order by id`);
        await same(products().overlaps('tags', ['new', 'sale']), `${from} tags && '{new,sale}' order by id`);
        await same(products().contains('attributes', {}), `${from} attributes @> '{}' order by id`);
        await same(products().textSearch('name', 'espresso', { config: 'english' }), `${from} to_tsvector('english', name) @@ to_tsquery('english', 'espresso') order by id`);
        await same(products().textSearch('search', 'espresso machines', { type: 'websearch' }), `${from} search @@ websearch_to_tsquery('espresso machines') order by id`);
        await same(products().not('stock', 'gt', 5), `${from} not stock > 5 order by id`);
        await same(products().or('stock.eq.0,and(price.lt.5,stock.gt.3)'), `${from} stock = 0 or price < 5 and stock > 3 order by id`);
        await same(products().match({ category_id: 3, stock: 0 }), `${from} category_id = 3 and stock = 0 order by id`);
        await same(products().filter('attributes->>color', 'neq', 'red'), `${from} attributes->>'color' <> 'red' order by id`);
        await same(products().rangeGt('on_sale', '[2020-01-01,2020-01-02)'), `${from} on_sale >> '[2020-01-01,2020-01-02)' order by id`);
    },

    async 'columns, order, range'() {
        await same(anon.from('products').select('nr:id,price::text,stars').order('price', { ascending: false, nullsFirst: true }).order('id').limit(5),
            'select id as nr, price::text, api.stars(p) as stars from api.products p order by price desc nulls first, id limit 5');
        await same(products('id,name').range(10, 19), 'select id, name from api.products order by id limit 10 offset 10');
    },

    async 'embeds'() {
        await same(products('id,categories(name)').lt('id', 5),
            "select id, (select to_json(c) from (select name from api.categories where id = p.category_id) c) as categories from api.products p where id < 5 order by id");
        const inner = ok(await anon.from('categories').select('name,products!inner(id,price)').gt('products.price', 90).order('name')).data;
        assert.ok(inner.length > 0 && inner.every((c) => c.products.length > 0 && c.products.every((p) => p.price > 90)));
        const top = ok(await anon.from('categories').select('name,products(id)').order('id', { referencedTable: 'products' }).limit(2, { referencedTable: 'products' })).data;
        assert.ok(top.every((c) => c.products.length <= 2));
        const spread = ok(await products('id,...categories(category:name)').eq('id', 1).single()).data;
        assert.deepEqual(Object.keys(spread), ['id', 'category']);
        const deep = ok(await staff.from('orders').select('id,customers(first_name),order_lines(quantity,products(name,categories(name)))').eq('id', 1).single()).data;
        assert.equal(typeof deep.order_lines[0].products.categories.name, 'string');
        const { error, status } = await anon.from('products').select('id,nowhere(*)');
        assert.equal(status, 400);
        assert.equal(error.code, 'PGRST200');
    },

    async 'counts'() {
        const [{ n }] = await sql('select count(*) as n from api.products');
        assert.equal(ok(await anon.from('products').select('id', { count: 'exact' }).limit(3)).count, n);
        const head = await anon.from('products').select('*', { count: 'exact', head: true });
        assert.equal(head.count, n);
        assert.equal(head.data, null);
        assert.equal(typeof ok(await anon.from('products').select('id', { count: 'planned' }).limit(1)).count, 'number');
        assert.equal(typeof ok(await anon.from('products').select('id', { count: 'estimated' }).limit(1)).count, 'number');
        const r = await anon.from('products').select('id', { count: 'exact' }).range(100000, 100009);
        assert.equal(r.status, 416);
    },

    async 'csv'() {
        const { data } = ok(await products('id,name').lt('id', 3).csv());
        const rows = await sql('select id, name from api.products where id < 3 order by id');
        assert.equal(data.split('\n')[0], 'id,name');
        assert.ok(data.split('\n')[1].startsWith(`${rows[0].id},`));
        assert.equal(data.split('\n').length, 3);
    },

    async 'single and maybeSingle'() {
        assert.equal(ok(await anon.from('products').select('id').eq('id', 1).single()).data.id, 1);
        const many = await anon.from('products').select('id').lt('id', 3).single();
        assert.equal(many.status, 406);
        assert.equal(many.error.code, 'PGRST116');
        assert.equal(ok(await anon.from('products').select('id').eq('id', 0).maybeSingle()).data, null);
        assert.equal(ok(await anon.from('products').select('id').eq('id', 2).maybeSingle()).data.id, 2);
    },

    async 'explain'() {
        const { data } = ok(await anon.from('products').select('id').eq('id', 1).explain());
        assert.match(data, /Scan/);
        const json = ok(await anon.from('products').select('id').explain({ format: 'json', analyze: true })).data;
        assert.ok(json[0].Plan['Actual Rows'] >= 1);
    },

    async 'functions of rows, and their columns'() {
        const found = ok(await anon.rpc('search_products', { query: 'espresso' }).select('id,categories(name)').order('id').limit(3)).data;
        assert.ok(found.length > 0 && found.every((p) => p.categories.name));
        assert.equal(ok(await anon.rpc('add', { a: 2, b: 3 }, { get: true })).data, 5);
    },

    async 'abortSignal'() {
        const abort = new AbortController();
        const request = anon.from('products').select('id').abortSignal(abort.signal);
        abort.abort();
        assert.match(String((await request).error.message), /abort/i);
        assert.equal(ok(await anon.from('products').select('id').eq('id', 1)).data.length, 1);
    },
};

const name = process.argv[2];
if (name) await tests[name]();
else console.log(Object.keys(tests).join('\n'));
