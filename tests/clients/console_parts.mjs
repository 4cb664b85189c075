// The parts of the console that need no browser: where statements end, completion, what is copied, quantiles, requests.
import assert from 'node:assert/strict';

globalThis.location = { pathname: '/', href: 'http://pg.example/' };
globalThis.localStorage = globalThis.sessionStorage = { getItem: () => null, setItem() {} };
globalThis.document = { dispatchEvent() {}, addEventListener() {} };

const src = '../../src/console/';
const { statements, tokens, quoteIdent, quoteLiteral } = await import(src + 'lexer.js');
const { completions, tablesIn, wordBefore } = await import(src + 'editor.js');
const { as, compare } = await import(src + 'grid.js');
const { parseMetrics, quantile } = await import(src + 'server.js');
const { columnsOf, embeddable, pathOf, samples } = await import(src + 'browse.js');
const { own } = await import(src + 'plan.js');

const split = text => statements(text).map(s => s.text);
assert.deepEqual(split(''), []);
assert.deepEqual(split(' ; ;; '), []);
assert.deepEqual(split("select 1;\n-- ; no\nselect ';' ; /* ; /* ; */ ; */ select 2"), ['select 1', "select ';'", 'select 2']);
assert.deepEqual(split("select E'\\';', $$;$$, $a$;$$;$a$, \";\", U&'\\;'; x"), ["select E'\\';', $$;$$, $a$;$$;$a$, \";\", U&'\\;'", 'x']);
assert.deepEqual(split('create function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3'),
    ['create function f() returns int begin atomic select case when true then 1 end; select 2; end', 'select 3']);
assert.deepEqual(split('begin; select 1; end'), ['begin', 'select 1', 'end']);
assert.deepEqual(split("select 'never closed; select 2"), ["select 'never closed; select 2"]);
assert.deepEqual(split("select $1, a$b$c; select 2"), ['select $1, a$b$c', 'select 2']);
for (const text of ["a 'b' \"c\" $1 1.5e3 /* x */ -- y\n;é€😀", "'", '"', '$$', '/*', '$a$', '\\', 'x'.repeat(1000)])
    assert.equal(tokens(text).map(t => t.text).join(''), text, 'every character is in one token');

assert.equal(quoteIdent('orders'), 'orders');
assert.equal(quoteIdent('Order'), '"Order"');
assert.equal(quoteIdent('select'), '"select"');
assert.equal(quoteIdent('a"b'), '"a""b"');
assert.equal(quoteLiteral("it's"), "'it''s'");
assert.equal(quoteLiteral("a\\b'"), "E'a\\\\b'''");

assert.deepEqual(wordBefore('select o.cus', 12), { from: 9, word: 'cus', path: 'o' });
assert.deepEqual(wordBefore('select "My T', 12), { from: 7, word: 'My T', path: undefined });
assert.deepEqual(tablesIn('select * from a x, b as y join only s."T" z using (id)').map(t => [t.schema, t.name, t.alias]), [['', 'a', 'x'], ['', 'b', 'y'], ['s', 'T', 'z']]);
const catalog = {
    tables: [{ schema: 'public', name: 'orders', kind: 'table', visible: true }, { schema: 'other', name: 'orders_old', kind: 'table', visible: false }],
    functions: [{ schema: 'pg_catalog', name: 'now', visible: true, system: true }], schemas: ['other', 'public'], keywords: ['select', 'order'],
    columns: (schema, name) => name === 'orders' ? [['id', 'integer'], ['Odd One', 'text']] : [],
};
const offered = text => completions(text, text.length, catalog).map(c => c.insert);
assert.deepEqual(offered('select * from ord'), ['orders', 'other.orders_old']);
assert.deepEqual(offered('select * from other.'), ['orders_old']);
assert.deepEqual(offered('select 1; select odd from orders o where o.'), ['id', '"Odd One"']);
assert.deepEqual(offered('select no'), ['now(']);

const columns = [{ name: 'n', number: true }, { name: 'B' }, { name: 'j', json: true }, { name: 'b', boolean: true }];
const rows = [['1', 'a,"b"\n', '{"x": 1}', 't'], ['NaN', '', null, 'f']];
assert.equal(as.CSV(columns, rows), 'n,B,j,b\n1,"a,""b""\n","{""x"": 1}",t\nNaN,"",,f\n');
assert.deepEqual(JSON.parse(as.JSON(columns, rows)), [{ n: 1, B: 'a,"b"\n', j: { x: 1 }, b: true }, { n: 'NaN', B: '', j: null, b: false }]);
assert.equal(as.INSERT(columns, rows, 't'), `insert into t (n, "B", j, b) values\n  (1, 'a,"b"\n', '{"x": 1}', 't'),\n  ('NaN', '', null, 'f');\n`);
assert.deepEqual(['10', null, '9'].sort((a, b) => compare(a, b, true)), ['9', '10', null]);

const scrape = n => parseMetrics([0.001, 0.01, '+Inf'].map((le, i) => `pghttpd_http_request_duration_seconds_bucket{route="sql",le="${le}"} ${n[i]}`).join('\n') + '\nx{a="q\\"z"} 3\n# HELP y z\n');
assert.equal(scrape([1, 2, 3]).length, 4);
assert.equal(quantile(scrape([10, 10, 10]), scrape([0, 0, 0]), 0.5), 0.5);
assert.equal(quantile(scrape([10, 20, 20]), scrape([10, 10, 10]), 0.5).toFixed(3), '5.500');
assert.equal(quantile(scrape([5, 5, 5]), scrape([5, 5, 5]), 0.5), null);

const definitions = {
    orders: { required: ['id'], properties: { id: { type: 'integer', format: 'int32', description: 'Note:\nThis is a Primary Key.<pk/>' }, customer: { type: 'integer', description: "Who\n\nNote:\nThis is a Foreign Key to `customers.id`.<fk table='customers' column='id'/>" } } },
    customers: { properties: { id: { type: 'integer' } } },
    lines: { properties: { order: { type: 'integer', description: "Note:\n<fk table='orders' column='id'/>" } } },
};
assert.deepEqual(columnsOf(definitions.orders).map(c => [c.name, c.primary, c.to?.table, c.required, c.about]), [['id', true, undefined, true, ''], ['customer', false, 'customers', false, 'Who']]);
assert.deepEqual(embeddable(definitions, 'orders'), ['customers', 'lines']);
const view = { name: 'my table', embeds: new Set(['lines']), filters: [{ column: 'a b', operator: 'in', value: '1,2' }, { column: 'c', operator: 'eq', value: 'x&y' }, { column: 'd', operator: 'eq', value: '' }], order: { column: 'id', down: true }, limit: 25, offset: 50 };
assert.equal(pathOf(view), 'my%20table?select=*,lines(*)&a%20b=in.(1,2)&c=eq.x%26y&order=id.desc&limit=25&offset=50');
assert.equal(samples({ method: 'POST', path: "t?n=eq.it's", body: `{"a":"it's"}` }).curl, `curl -g -X POST 'http://pg.example/rest/t?n=eq.it%27s' -H 'Content-Type: application/json' -d '{"a":"it'\\''s"}'`);

assert.equal(own({ 'Actual Total Time': 10, 'Actual Loops': 2, Plans: [{ 'Actual Total Time': 3, 'Actual Loops': 5 }] }), 5);
