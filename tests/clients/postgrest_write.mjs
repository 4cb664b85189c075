// postgrest_write.mjs TEST: @supabase/postgrest-js writing to the demo database through pghttpd, and calling functions.
// SERVER_URL: pghttpd; JWT_SECRET: its secret.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { PostgrestClient } from '@supabase/postgrest-js';

const { SERVER_URL, JWT_SECRET } = process.env;

function token(claims) {
    const part = (v) => Buffer.from(JSON.stringify(v)).toString('base64url');
    const head = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
    return `${head}.${createHmac('sha256', JWT_SECRET).update(head).digest('base64url')}`;
}

const as = (claims) => new PostgrestClient(`${SERVER_URL}/rest`, { headers: claims ? { Authorization: `Bearer ${token(claims)}` } : {} });
const staff = as({ role: 'staff' });
const customer = (id) => as({ role: 'customer', customer_id: id });

const ok = ({ data, error, status, count }) => (assert.equal(error, null, JSON.stringify(error)), { data, status, count });

const tests = {
    async 'insert, with and without the rows'() {
        let r = ok(await staff.from('categories').insert({ id: 9001, name: 'written' }));
        assert.equal(r.status, 201);
        assert.equal(r.data, null);
        r = ok(await staff.from('categories').insert([{ id: 9002, name: 'a' }, { id: 9003, name: 'b' }], { count: 'exact' }).select('id'));
        assert.deepEqual(r.data, [{ id: 9002 }, { id: 9003 }]);
        assert.equal(r.count, 2);
        r = ok(await staff.from('categories').insert({ id: 9004, name: 'one' }).select('id,name').single());
        assert.deepEqual(r.data, { id: 9004, name: 'one' });
        const twice = await staff.from('categories').insert({ id: 9004, name: 'again' });
        assert.equal(twice.status, 409);
        assert.equal(twice.error.code, '23505');
        // objects with different keys: the client names them in columns=
        r = ok(await staff.from('categories').insert([{ id: 9005, name: 'p' }, { id: 9006, name: 'q', parent_id: 9005 }], { defaultToNull: false }).select('id,parent_id'));
        assert.deepEqual(r.data, [{ id: 9005, parent_id: null }, { id: 9006, parent_id: 9005 }]);
    },

    async 'upsert by key and by another column'() {
        ok(await staff.from('categories').upsert({ id: 9010, name: 'first' }));
        ok(await staff.from('categories').upsert([{ id: 9010, name: 'second' }, { id: 9011, name: 'third' }]));
        let r = ok(await staff.from('categories').select('id,name').gte('id', 9010).lte('id', 9011).order('id'));
        assert.deepEqual(r.data, [{ id: 9010, name: 'second' }, { id: 9011, name: 'third' }]);
        r = ok(await staff.from('categories').upsert([{ id: 9010, name: 'no' }, { id: 9012, name: 'new' }], { ignoreDuplicates: true }).select('id'));
        assert.deepEqual(r.data, [{ id: 9012 }]);
    },

    async 'update and delete, filtered, counted, returned'() {
        ok(await staff.from('categories').insert([{ id: 9020, name: 'x' }, { id: 9021, name: 'y' }, { id: 9022, name: 'z' }]));
        let r = ok(await staff.from('categories').update({ parent_id: 9022 }, { count: 'exact' }).in('id', [9020, 9021]));
        assert.equal(r.status, 204);
        assert.equal(r.count, 2);
        r = ok(await staff.from('categories').update({ name: 'last' }).eq('id', 9022).select().single());
        assert.equal(r.data.name, 'last');
        const none = await staff.from('categories').update({ name: 'nobody' }).eq('id', 1).eq('id', 2).select().single();
        assert.equal(none.status, 406);
        assert.equal(none.error.code, 'PGRST116');
        r = ok(await staff.from('categories').delete({ count: 'exact' }).gte('id', 9020).lte('id', 9022).select('id'));
        assert.equal(r.data.length, 3);
        assert.equal(r.count, 3);
    },

    async 'maxAffected rolls back'() {
        ok(await staff.from('categories').insert([{ id: 9030, name: 'm1' }, { id: 9031, name: 'm2' }]));
        const r = await staff.from('categories').delete().like('name', 'm_').maxAffected(1);
        assert.equal(r.status, 400);
        assert.equal(r.error.code, 'PGRST124');
        assert.equal(ok(await staff.from('categories').select('id', { count: 'exact', head: true }).like('name', 'm_')).count, 2);
    },

    async 'functions: by POST, by GET, of rows'() {
        assert.equal(ok(await as().rpc('add', { a: 40, b: 2 })).data, 42);
        assert.equal(ok(await as().rpc('add', { a: 40, b: 2 }, { get: true })).data, 42);
        const rows = ok(await as().rpc('search_products', { query: 'coffee' }).select('id,name').order('id').limit(3)).data;
        assert.ok(Array.isArray(rows));
        rows.forEach((row) => assert.deepEqual(Object.keys(row), ['id', 'name']));
        const head = ok(await as().rpc('search_products', { query: 'coffee' }, { head: true, count: 'exact' }));
        assert.ok(head.count >= rows.length);
        const missing = await as().rpc('no_such_function', { a: 1 });
        assert.equal(missing.status, 404);
        assert.equal(missing.error.code, 'PGRST202');
    },

    async 'a customer orders, sees the own rows, and no others'() {
        const mine = customer(7);
        const order = ok(await mine.rpc('place_order', { customer_id: 7, lines: [{ product_id: 1, quantity: 2 }] })).data;
        assert.equal(order.customer_id, 7);
        const seen = ok(await mine.from('orders').select('id,order_lines(product_id,quantity)').eq('id', order.id).single()).data;
        assert.deepEqual(seen, { id: order.id, order_lines: [{ product_id: 1, quantity: 2 }] });
        assert.deepEqual(ok(await customer(8).from('orders').select('id').eq('id', order.id)).data, []);
        const refused = await customer(8).from('orders').insert({ customer_id: 7 });
        assert.equal(refused.status, 403);
        assert.equal(refused.error.code, '42501');
        const stranger = await as().from('orders').select('id').limit(1);
        assert.equal(stranger.status, 401);
    },

    async 'throwOnError and abortSignal'() {
        await assert.rejects(async () => staff.from('nowhere').insert({ a: 1 }).throwOnError(), (e) => e.code === 'PGRST205');
        const abort = new AbortController();
        abort.abort();
        const r = await staff.from('categories').insert({ id: 9099, name: 'never' }).abortSignal(abort.signal);
        assert.match(String(r.error.message), /abort/i);
        assert.deepEqual(ok(await staff.from('categories').select('id').eq('id', 9099)).data, []);
    },

    async 'ten thousand rows at once, unicode included'() {
        const rows = Array.from({ length: 10000 }, (_, i) => ({ id: 20000 + i, name: `Zeile ${i} – "ü"\n\u{1F600}` }));
        const r = ok(await staff.from('categories').insert(rows, { count: 'exact' }));
        assert.equal(r.count, 10000);
        const last = ok(await staff.from('categories').select('id,name').eq('id', 29999).single()).data;
        assert.deepEqual(last, rows[9999]);
        const gone = ok(await staff.from('categories').delete({ count: 'exact' }).gte('id', 20000));
        assert.equal(gone.count, 10000);
    },
};

const name = process.argv[2];
if (name) await tests[name]();
else console.log(Object.keys(tests).join('\n'));
