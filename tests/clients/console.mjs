// The console at / in Chromium; console.bats and console_access.bats run one part at a time: node console.mjs PART.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { axe, start, token, until } from './page.mjs';

const run = promisify(execFile);
const psql = async sql => (await run('psql', ['-XAtq', '-d', 'demo', '-c', sql])).stdout.trim();
const cluster = command => run('bash', ['-c', `. tests/lib/cluster.sh && ${command}`]);
const texts = (page, selector) => page.locator(selector).allTextContents();
const clipboard = page => page.evaluate(() => navigator.clipboard.readText());
const done = page => page.waitForFunction(() => document.querySelector('#cancel').hidden && document.querySelector('#sql-results .card:not([aria-busy])'));
async function query(page, text) {
    await page.fill('#query', text);
    await page.locator('#query').press('Escape');
    await page.locator('#query').press('Control+Enter');
    await done(page);
}
const cells = (page, n = 0) => page.locator('#sql-results .card').nth(n).locator('tbody tr').evaluateAll(rows => rows.map(r => [...r.cells].slice(1).map(c => c.textContent)));

const parts = {
    async sql() {
        const { page, finish } = await start();
        assert.equal(await page.title(), 'SQL – pghttpd');
        // Types, NULL, an empty text, markup that stays text, several results.
        await query(page, "select 1 as one, 'zwölf' as two, null::date as three, '<b>x</b>' as four, '' as five, 2.50::numeric(5,2) as six;\nselect 'second'; -- ;\ncreate temp table gone()");
        assert.deepEqual(await cells(page), [['1', 'zwölf', 'NULL', '<b>x</b>', '', '2.50']]);
        assert.deepEqual(await texts(page, '#sql-results .card:first-child th small'), ['integer', 'text', 'date', 'text', 'text', 'numeric']);
        assert.equal(await page.locator('#sql-results td.null').count(), 1);
        assert.equal(await page.locator('#sql-results td .empty').count(), 1);
        assert.deepEqual(await texts(page, '#sql-results h2'), ['SELECT', 'SELECT', 'CREATE']);
        assert.match(await page.locator('#sql-results .about').first().textContent(), /1 row · .* ms · queue .*database/);
        // Keywords, strings and comments have colours.
        assert.deepEqual(await texts(page, '.t-comment'), ['-- ;']);
        assert.ok((await texts(page, '.t-keyword')).includes('select'));
        // The selection alone.
        await page.locator('#query').evaluate(e => e.setSelectionRange(e.value.indexOf("select 'second'"), e.value.indexOf('; -- ;')));
        assert.equal((await page.locator('#run').textContent()).trim(), 'Run selection');
        await page.locator('#query').press('Control+Enter');
        await done(page);
        assert.deepEqual(await cells(page), [['second']]);
        await finish();
    },

    async complete() {
        const { page, finish } = await start();
        await page.waitForFunction(async () => (await import('/console/catalog.js')).catalog.tables.length > 0);
        const type = async (before, keys) => {
            await page.fill('#query', before);
            await page.locator('#query').press('End');
            await page.keyboard.type(keys);
        };
        const offered = () => texts(page, '#completions:not([hidden]) .c-label');
        await type('select * from orders o where o.', 'cus');
        assert.deepEqual(await offered(), ['customer_id']);
        await page.keyboard.press('Enter');
        assert.equal(await page.inputValue('#query'), 'select * from orders o where o.customer_id');
        await type('select * from ', 'ord');
        assert.deepEqual((await offered()).slice(0, 3), ['orders', 'order_lines', 'order_totals']);
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('Tab');
        assert.equal(await page.inputValue('#query'), 'select * from order_lines');
        await type('select ', 'regexp_repl');
        assert.ok((await offered()).includes('regexp_replace'));
        await type('', 'sel');
        assert.ok((await offered()).includes('select'));
        await page.keyboard.press('Escape');
        assert.deepEqual(await offered(), []);
        await type("select 'sel", 'ect'); // nothing inside strings
        assert.deepEqual(await offered(), []);
        await type('select * from api.products where ', 'pri');
        assert.equal((await offered())[0], 'price');
        // Ctrl+/ comments, and undo is the browser's.
        await page.fill('#query', 'select 1');
        await page.locator('#query').press('Control+/');
        assert.equal(await page.inputValue('#query'), '-- select 1');
        await page.locator('#query').press('Control+z');
        assert.equal(await page.inputValue('#query'), 'select 1');
        await finish();
    },

    async grid() {
        const { page, finish } = await start();
        await query(page, `select n, case when n % 3 = 0 then null else 'it''s, "' || n end as t, '{"a": 12345678901234567890}'::jsonb as j, n = 2 as b from generate_series(1, 12) n`);
        // Sorted by the number, not by its text; NULL last both ways.
        await page.click('#sql-results th button >> nth=0');
        await page.click('#sql-results th button >> nth=0');
        assert.deepEqual((await cells(page)).map(r => r[0]).slice(0, 3), ['12', '11', '10']);
        assert.equal(await page.locator('#sql-results th >> nth=1').getAttribute('aria-sort'), 'descending');
        await page.click('#sql-results th button >> nth=1');
        assert.deepEqual((await cells(page)).map(r => r[1]).slice(-4), ['NULL', 'NULL', 'NULL', 'NULL']);
        await page.click('#sql-results th button >> nth=0');
        for (const [form, want] of [['CSV', /^n,t,j,b\n1,"it's, ""1","{""a"": 12345678901234567890}",f\n/], ['JSON', /^\[\{"n":1,"t":"it's, \\"1","j":\{"a": 12345678901234567890\},"b":false\},\n/], ['INSERT', /^insert into generate_series \(n, t, j, b\) values\n {2}\(1, 'it''s, "1', '\{"a": 12345678901234567890\}', 'f'\),/]]) {
            await page.click(`#sql-results button:has-text("${form}")`);
            assert.match(await clipboard(page), want);
        }
        assert.equal(JSON.parse((await page.click('#sql-results button:has-text("JSON")'), await clipboard(page)))[2].t, null);
        // With the keyboard alone: into the grid, along the cells, a cell opened and closed, Ctrl+C.
        await page.locator('#sql-results .grid').focus();
        for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowRight', 'Enter']) await page.keyboard.press(key);
        assert.match(await page.locator('dialog pre').textContent(), /12345678901234567890/);
        await page.keyboard.press('Escape');
        await page.waitForSelector('dialog', { state: 'detached' });
        assert.equal(await page.evaluate(() => document.activeElement.cellIndex), 3);
        await page.keyboard.press('ArrowLeft');
        await page.keyboard.press('Control+c');
        await until('the cell is copied', async () => await clipboard(page) === `it's, "2`);
        // 60,000 rows: drawn as one scrolls, cut at the limit with a word about it.
        await page.selectOption('#rows-max', '10000');
        await query(page, 'select n, md5(n::text) from generate_series(1, 60000) n');
        assert.match(await page.locator('#sql-results').textContent(), /The first 10,000 rows; more were left out/);
        const drawn = await page.locator('#sql-results tbody tr').count();
        assert.ok(drawn <= 400);
        await page.locator('#sql-results .grid').evaluate(e => e.scrollTo(0, e.scrollHeight));
        await until('more rows are drawn', async () => await page.locator('#sql-results tbody tr').count() > drawn);
        await finish();
    },

    async errors() {
        const { page, finish } = await start();
        await query(page, "select 'ü€😀';\nselect 'ü€😀', nope from products;\nselect 3");
        assert.match(await page.locator('#sql-results .error').textContent(), /42703.*nope/);
        assert.deepEqual(await texts(page, '.t-wrong'), ['nope']);
        assert.deepEqual(await texts(page, '#sql-results h2'), ['SELECT', 'Error', 'Not run']);
        // A late error, after rows came.
        await page.selectOption('#rows-max', '100000');
        await query(page, 'select n, 1000000 / (30000 - n) as x from generate_series(1, 60000) n');
        assert.match(await page.locator('#sql-results .error').textContent(), /22012.*division by zero/);
        // One transaction: nothing is left of it.
        const before = await psql('select count(*) from api.orders');
        await page.check('#together');
        await query(page, 'insert into orders (customer_id) values (7);\nselect 1/0');
        assert.deepEqual(await texts(page, '#sql-results h2'), ['Not run', 'Error']);
        assert.equal(await psql('select count(*) from api.orders'), before);
        await query(page, "insert into orders (customer_id, note) values (7, 'console');\nselect note from orders where note = 'console'");
        assert.match(await page.locator('#sql-results .note.good').textContent(), /Committed as one transaction/);
        assert.deepEqual(await cells(page, 1), [['console']]);
        await page.uncheck('#together');
        // BEGIN ... ROLLBACK's cousin: begin and commit in the text mean the same as the box.
        await query(page, "begin;\ndelete from orders where note = 'console';\nselect nope;\ncommit");
        assert.equal(await psql("select count(*) from api.orders where note = 'console'"), '1');
        await finish();
    },

    async running() {
        const { page, finish } = await start();
        await page.selectOption('#rows-max', '100000');
        await page.fill('#query', "select n, repeat('x', 2000) as pad, pg_sleep(0.001) from generate_series(1, 50000) n");
        await page.locator('#query').press('Control+Enter');
        // Rows are there while it runs.
        await page.waitForFunction(() => /\d rows so far/.test(document.querySelector('#sql-results .about')?.textContent) && document.querySelectorAll('#sql-results tbody tr').length > 10 && !document.querySelector('#cancel').hidden);
        assert.equal(await psql("select count(*) from pg_stat_activity where state = 'active' and query like '%50000) n'  and pid <> pg_backend_pid()"), '1');
        await page.click('#cancel');
        await done(page);
        assert.match(await page.locator('#sql-results').textContent(), /Cancelled in PostgreSQL, too/);
        await until('it ends in PostgreSQL', async () => await psql("select count(*) from pg_stat_activity where state = 'active' and query like '%50000) n' and pid <> pg_backend_pid()") === '0');
        // The plan as a tree; what writes is not run.
        await page.fill('#query', 'select count(*) from orders o join order_lines l on l.order_id = o.id');
        await page.click('#explain');
        await page.waitForSelector('.plan li li');
        assert.match(await page.locator('.plan').textContent(), /planning .* execution .*itself.*with children.*rows \(guessed/s);
        const before = await psql('select count(*) from api.reviews');
        await page.fill('#query', 'delete from reviews');
        await page.click('#explain');
        await page.waitForSelector('.plan');
        await page.waitForFunction(() => /Planned, not run/.test(document.querySelector('#sql-results').textContent));
        assert.equal(await psql('select count(*) from api.reviews'), before);
        // The history outlives the page.
        await page.reload();
        await page.waitForSelector('html[data-state=started]');
        assert.equal(await page.inputValue('#query'), 'delete from reviews');
        await page.click('#history');
        await page.fill('dialog input[type=search]', 'PG_SLEEP');
        await page.click('dialog .history button');
        await page.waitForFunction(() => /pg_sleep\(0.001\)/.test(document.querySelector('#query').value));
        await finish();
    },

    async browse() {
        const { page, finish } = await start({ auth: { token: token({ role: 'staff' }) } });
        const go = hash => page.evaluate(h => { location.hash = h; }, hash);
        const rows = () => page.locator('#rows tbody tr').evaluateAll(list => list.map(r => [...r.cells].slice(1).map(c => c.textContent)));
        const shown = () => page.locator('#browse-request code').textContent();
        await page.click('#tab-browse');
        await page.click('#browse-list a:text-is("orders")');
        await page.waitForSelector('#rows tbody tr');
        assert.match(await page.locator('.columns').textContent(), /id.*int32.*key.*customer_id.*→ customers/);
        // A filter, an order, a page, an embedded table: each is the request.
        await page.click('text=+ Filter');
        await page.selectOption('#filters select >> nth=0', 'customer_id');
        await page.fill('#filters input', '7');
        await page.keyboard.press('Enter');
        await page.waitForFunction(() => [...document.querySelectorAll('#rows tbody tr')].every(r => r.cells[2].textContent === '7'));
        await page.click('#rows th button:has-text("placed")');
        await page.waitForFunction(() => document.querySelector('#rows th[aria-sort=ascending]'));
        await page.check('.embeds label:has-text("order_lines") input');
        await page.waitForFunction(() => /^\[\{"line"/.test(document.querySelector('#rows tbody tr td:nth-last-child(2)')?.textContent));
        assert.equal(await shown(), '/rest/orders?select=*,order_lines(*)&customer_id=eq.7&order=placed&limit=25');
        await page.click('#browse-request summary');
        for (const [name, want] of [['curl', /^curl -g 'http.*customer_id=eq\.7.*' -H "Authorization: Bearer \$TOKEN"/], ['JavaScript', /await fetch\("http/], ['Python', /requests\.request\('GET'/]]) {
            await page.click(`#browse-request button:text-is("${name}")`);
            await page.click('#browse-request button:text-is("Copy")');
            assert.match(await clipboard(page), want);
            assert.ok(!(await clipboard(page)).includes('eyJ'), 'the token is named, not shown');
        }
        // Another tab and back: the same table is open.
        await page.click('#tab-sql');
        await page.click('#tab-browse');
        assert.equal(await page.locator('#browse-main h2').textContent(), 'orders');
        // A row is added, changed, deleted.
        await page.click('#browse-list a:text-is("categories")');
        await page.waitForFunction(() => document.querySelector('#browse-main h2').textContent === 'categories' && document.querySelector('#rows tbody tr'));
        await page.click('text=+ Row');
        await page.fill('dialog #f-0', '9001');
        await page.fill('dialog #f-2', `O'Brien's "tea"`);
        await page.click('dialog button[value=save]');
        await until('the row is there', async () => await psql('select name from api.categories where id = 9001') === `O'Brien's "tea"`);
        await page.click('text=+ Filter');
        await page.fill('#filters input', '9001');
        await page.keyboard.press('Enter');
        await page.waitForFunction(() => document.querySelectorAll('#rows tbody tr').length === 1);
        await page.click('#rows button:text-is("Edit")');
        await page.fill('dialog #f-1', '1');
        await page.fill('dialog #f-2', 'tea');
        await page.keyboard.press('Enter');
        await until('the row is changed', async () => await psql("select name || parent_id from api.categories where id = 9001") === 'tea1');
        await page.waitForFunction(() => document.querySelector('#rows tbody tr')?.cells[3].textContent === 'tea');
        await page.click('#rows button:text-is("Edit")');
        await page.check('dialog [aria-label="parent_id is NULL"]');
        await page.click('dialog button[value=save]');
        await until('NULL is NULL', async () => await psql("select parent_id is null from api.categories where id = 9001") === 't');
        assert.match(await shown(), /categories\?id=eq\.9001/);
        await page.waitForFunction(() => document.querySelector('#rows tbody tr')?.cells[2].textContent === 'NULL');
        await page.click('#rows button:text-is("Delete")');
        await page.click('dialog button[value=delete]');
        await until('the row is gone', async () => await psql('select count(*) from api.categories where id = 9001') === '0');
        // Functions by a form.
        await go('browse/rpc/revenue');
        await page.waitForSelector('form.call');
        await page.fill('#a-0', '2025-06-01');
        await page.fill('#a-1', '2025-06-30');
        await page.click('text=Call');
        await page.waitForFunction(() => /^\d+(\.\d+)?$/.test(document.querySelector('#rows pre')?.textContent));
        await go('browse/rpc/place_order');
        await page.waitForSelector('#a-1');
        await page.fill('#a-0', '7');
        await page.fill('#a-1', '[{"product_id":3,"quantity":1}]');
        await page.click('text=Call');
        await page.waitForFunction(() => document.querySelector('#rows')?.textContent.length > 0);
        assert.equal(await page.locator('#rows .error').count(), 0);
        await finish();
    },

    // Without a token: what is not granted says so, and what would allow it.
    async denied() {
        const { page, finish } = await start();
        await page.click('#tab-browse');
        await page.click('#browse-list a:text-is("products")');
        await page.waitForSelector('#rows tbody tr');
        assert.deepEqual((await texts(page, '#browse-list a')).filter(t => t === 'orders' || t === 'customers'), []);
        await page.click('#rows button:text-is("Delete") >> nth=0');
        await page.click('dialog button[value=delete]');
        await page.waitForSelector('#write-problem .error');
        assert.match(await page.locator('#write-problem').textContent(), /42501.*permission denied.*GRANT DELETE ON products/);
        // With a token of its own role through the dialog; it stays in the tab.
        await page.click('#sign-in');
        await page.fill('#token', token({ role: 'customer', customer_id: 7 }));
        await page.click('dialog button[value=in]');
        await page.waitForFunction(() => [...document.querySelectorAll('#browse-list a')].some(a => a.textContent === 'orders'));
        assert.equal((await page.locator('#sign-in').textContent()), 'token: customer');
        assert.ok(await page.evaluate(() => !JSON.stringify({ ...localStorage }).includes('eyJ') && sessionStorage['pghttpd.auth'].includes('eyJ')));
        await page.click('#browse-list a:text-is("orders")');
        await page.waitForFunction(() => [...document.querySelectorAll('#rows tbody tr')].length && [...document.querySelectorAll('#rows tbody tr')].every(r => r.cells[2].textContent === '7'));
        await finish();
    },

    async events() {
        const { page, finish } = await start();
        const log = () => page.locator('#event-log').textContent();
        await page.click('#tab-events');
        await page.fill('#channels', 'orders, stock');
        await page.keyboard.press('Enter');
        await page.waitForSelector('#event-state.good');
        await page.fill('#notify-channel', 'stock');
        await page.fill('#payload', 'grüße <i>');
        await page.keyboard.press('Enter');
        await page.waitForFunction(() => /stock.*grüße <i>/s.test(document.querySelector('#event-log').textContent));
        await psql("insert into api.orders (customer_id) values (12)");
        await page.waitForFunction(() => /"customer_id" : 12/.test(document.querySelector('#event-log').textContent));
        // Filter and pause.
        await page.fill('#event-filter', 'grüße');
        assert.ok(!/customer_id/.test(await log()));
        await page.fill('#event-filter', '');
        await page.click('#pause');
        await psql("notify stock, 'while paused'");
        await page.waitForFunction(() => /1 event waiting/.test(document.querySelector('#event-rate').textContent));
        assert.ok(!/while paused/.test(await log()));
        await page.click('#pause');
        await page.waitForFunction(() => /while paused/.test(document.querySelector('#event-log').textContent));
        await page.click('#event-code summary');
        await page.waitForFunction(() => /new EventSource\("http.*listen\?channel=orders&channel=stock"\)[\s\S]*curl -N[\s\S]*create trigger/.test(document.querySelector('#event-code pre').textContent));
        await page.click('#event-code summary');
        // PostgreSQL goes away and comes back: a gap is marked, then events come again.
        await cluster('cluster_restart');
        await page.waitForFunction(() => document.querySelector('#event-log .gap'), null, { timeout: 30000 });
        await until('events come again', async () => {
            await psql("notify stock, 'after the restart'").catch(() => {});
            return /after the restart/.test(await log());
        }, 20000);
        // The other tabs work after it, too.
        await page.click('#tab-sql');
        await query(page, "select 'back' as again");
        assert.deepEqual(await cells(page), [['back']]);
        await page.click('#tab-events');
        // More at once than this server keeps for a slow reader.
        await psql("select count(pg_notify('stock', repeat('x', 4000) || n)) from generate_series(1, 30000) n");
        await page.waitForFunction(() => document.querySelector('#event-log .overflow') && /events lost/.test(document.querySelector('#event-rate').textContent), null, { timeout: 60000 });
        assert.ok(await page.locator('#event-log li').count() <= 1000);
        await page.click('#listen');
        assert.equal(await page.locator('#event-state').textContent(), 'stopped');
        await finish();
    },

    async server() {
        const { page, finish } = await start();
        await page.click('#tab-server');
        await page.waitForSelector('#ready.good');
        await page.waitForFunction(() => document.querySelectorAll('#charts polyline').length >= 10 && /resident/.test(document.querySelector('#charts').textContent));
        assert.match(await page.locator('#uptime').textContent(), /pghttpd \d+\.\d+\.\d+, up .* connections?/);
        // A query of one's own is seen and cancelled.
        const slow = fetch(process.env.SERVER_URL + '/sql', { method: 'POST', body: JSON.stringify({ query: 'select pg_sleep(60)' }) });
        await page.waitForSelector('#queries td:has-text("pg_sleep(60)")');
        await page.click('#queries button');
        assert.equal((await (await slow).json()).code, '57014');
        await page.waitForFunction(() => /No query of/.test(document.querySelector('#queries').textContent));
        await page.click('#reload');
        await page.waitForFunction(() => /load the catalog again/.test(document.querySelector('#status').textContent));
        // The database goes away: /ready says so here, and that it is back.
        await cluster('cluster_halt');
        await page.waitForFunction(() => document.querySelector('#ready').classList.contains('wrong'), null, { timeout: 20000 });
        assert.match(await page.locator('#ready').textContent(), /not ready: ./);
        await cluster('cluster_restart');
        await page.waitForSelector('#ready.good', { timeout: 30000 });
        await finish();
    },

    // A server with its defaults: what it does not allow is shown, with the setting that would.
    async closed() {
        const { page, finish } = await start();
        assert.ok(await page.locator('#sql-login').isVisible());
        await query(page, 'select 1');
        await page.waitForSelector('dialog');
        await page.fill('#user', 'demo');
        await page.fill('#password', 'wrong');
        await page.keyboard.press('Enter');
        await page.waitForSelector('dialog', { state: 'detached' });
        await query(page, 'select current_user');
        assert.match(await page.locator('#sql-results').textContent(), /28P01.*password/);
        await page.click('#sign-in');
        await page.fill('#password', 'demo');
        await page.keyboard.press('Enter');
        await page.waitForSelector('dialog', { state: 'detached' });
        await query(page, 'select current_user');
        assert.deepEqual(await cells(page), [['demo']]);
        assert.ok(await page.evaluate(() => !JSON.stringify({ ...localStorage }).includes('password')));
        await page.click('#tab-events');
        assert.match(await page.locator('#panel-events').innerText(), /listen-access = jwt[\s\S]*notify-access = jwt/);
        await page.click('#listen');
        await page.waitForSelector('#event-problem .error');
        assert.match(await page.locator('#event-problem').textContent(), /PGH404.*listen-access/);
        await page.click('#tab-browse');
        await page.waitForSelector('#browse-problem .error');
        assert.match(await page.locator('#browse-problem').textContent(), /PGRST302.*db-anon-role/);
        await page.click('#tab-server');
        await page.waitForSelector('#server-problem .error');
        assert.match(await page.locator('#server-problem').textContent(), /PGH401.*admin-token/);
        await page.click('#panel-server [data-sign-in=admin]');
        await page.fill('#admin', 'an admin token');
        await page.keyboard.press('Enter');
        await page.waitForSelector('#ready.good');
        await page.waitForSelector('#charts polyline');
        // Signed out, nothing is kept.
        await page.click('#sign-in');
        await page.click('dialog button[value=out]');
        await page.waitForFunction(() => !sessionStorage['pghttpd.auth'].includes('demo'));
        await finish();
    },

    // axe-core finds nothing, and nothing is wider than the window.
    async accessible() {
        for (const [width, dark] of [[1280, false], [1280, true], [360, false], [360, true]]) {
            const { page, finish } = await start({ width, dark, height: 740, auth: { token: token({ role: 'staff' }) } });
            const fine = async where => {
                await axe(page).catch(e => { throw new Error(`${where} at ${width}${dark ? ', dark' : ''}: ${e.message}`); });
                assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${where} is wider than ${width}`);
            };
            await query(page, 'select * from products limit 30; select nope from products');
            await fine('SQL');
            await page.fill('#query', 'select * from ');
            await page.locator('#query').press('End');
            await page.keyboard.type('ord');
            await page.waitForSelector('#completions li');
            await fine('Completions');
            await page.keyboard.press('Escape');
            await page.fill('#query', 'select count(*) from orders join order_lines on id = order_id');
            await page.click('#explain');
            await page.waitForSelector('.plan');
            await fine('Plan');
            await page.click('#history');
            await fine('History');
            await page.keyboard.press('Escape');
            await page.click('#sign-in');
            await fine('Sign in');
            await page.keyboard.press('Escape');
            await page.evaluate(() => { location.hash = 'browse/orders'; });
            await page.waitForSelector('#rows tbody tr');
            await page.click('text=+ Filter');
            await page.click('#browse-request summary');
            await fine('Browse');
            await page.click('#rows button:text-is("Edit") >> nth=0');
            await fine('A row');
            await page.keyboard.press('Escape');
            await page.evaluate(() => { location.hash = 'browse/rpc/revenue'; });
            await page.waitForSelector('form.call');
            await fine('A function');
            await page.click('#tab-events');
            await page.click('#listen');
            await page.waitForSelector('#event-state.good');
            await psql("insert into api.orders (customer_id) values (3)");
            await page.waitForSelector('#event-log li');
            await page.click('#event-log summary');
            await page.click('#event-code summary');
            await fine('Events');
            await page.click('#tab-server');
            await page.waitForSelector('#charts polyline');
            await fine('Server');
            await finish();
        }
    },

    // Tabs and runs with the keyboard alone.
    async keyboard() {
        const { page, finish } = await start();
        await page.keyboard.press('Tab');
        assert.equal(await page.evaluate(() => document.activeElement.id), 'tab-sql');
        await page.keyboard.press('ArrowRight');
        assert.equal(await page.evaluate(() => document.activeElement.id + location.hash), 'tab-browse#browse');
        await page.keyboard.press('End');
        assert.equal(await page.evaluate(() => document.activeElement.id), 'tab-server');
        await page.keyboard.press('Alt+1');
        assert.ok(await page.locator('#query').isVisible());
        // The editor keeps nobody: Tab leaves it.
        await page.locator('#query').focus();
        await page.keyboard.press('Tab');
        assert.notEqual(await page.evaluate(() => document.activeElement.id), 'query');
        await page.locator('#query').focus();
        await page.keyboard.press('Control+a');
        await page.keyboard.type('select 1 as a;\nselect 2 as b;\nselect 3 as c');
        await page.keyboard.press('ArrowUp');
        await page.keyboard.press('Control+Shift+Enter');
        await done(page);
        assert.deepEqual(await texts(page, '#sql-results th button'), ['binteger']);
        await finish();
    },
};

await parts[process.argv[2]]();
