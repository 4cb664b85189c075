// drizzle.mjs TEST: drizzle-orm's neon-http driver against pghttpd.
import assert from 'node:assert/strict';
import { neon, neonConfig } from '@neondatabase/serverless';
import { and, desc, eq, gt, inArray, relations, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/neon-http';
import { boolean, bigint, integer, jsonb, numeric, pgEnum, pgTable, serial, text, timestamp, uuid, varchar } from 'drizzle-orm/pg-core';

neonConfig.fetchEndpoint = `${process.env.SERVER_URL}/sql`;

const mood = pgEnum('mood', ['sad', 'ok']);
const authors = pgTable('authors', { id: serial('id').primaryKey(), name: varchar('name', { length: 100 }).notNull(), mood: mood('mood') });
const books = pgTable('books', {
    id: serial('id').primaryKey(), author: integer('author').references(() => authors.id), title: text('title').notNull(),
    price: numeric('price', { precision: 10, scale: 2 }), big: bigint('big', { mode: 'bigint' }), tags: text('tags').array(),
    meta: jsonb('meta'), inStock: boolean('in_stock').default(true), published: timestamp('published', { withTimezone: true }),
    key: uuid('key'),
});
const authorRelations = relations(authors, ({ many }) => ({ books: many(books) }));
const bookRelations = relations(books, ({ one }) => ({ writer: one(authors, { fields: [books.author], references: [authors.id] }) }));
const db = drizzle(neon(process.env.LOGIN_URI), { schema: { authors, books, authorRelations, bookRelations } });

const book = {
    title: 'O\'Reilly "in" C\\', price: '12345678.90', big: 9007199254740993n, tags: ['a,b', 'c"d', ''], meta: { a: [1, null, 'ü'] },
    published: new Date('2020-02-29T12:34:56.789Z'), key: 'c0ffee00-0000-4000-8000-000000000000',
};

async function fresh() {
    await db.execute(sql`truncate authors, books restart identity`);
    await db.insert(authors).values([{ name: 'Ann', mood: 'ok' }, { name: 'Bob' }]);
    return (await db.insert(books).values([{ ...book, author: 1 }, { title: 'Second', author: 1 }, { title: 'Third', author: 2 }]).returning())[0];
}

const tests = {
    async 'insert, select, update, delete with every column type'() {
        const made = await fresh();
        assert.deepEqual(made, { id: 1, author: 1, inStock: true, ...book });
        assert.deepEqual(await db.select().from(books).where(eq(books.id, 1)), [made]);
        assert.deepEqual(await db.select({ t: books.title }).from(books).where(and(gt(books.id, 1), inArray(books.author, [1, 2]))).orderBy(desc(books.id)),
            [{ t: 'Third' }, { t: 'Second' }]);
        assert.deepEqual(await db.update(books).set({ inStock: false }).where(eq(books.id, 2)).returning({ id: books.id, s: books.inStock }), [{ id: 2, s: false }]);
        assert.equal((await db.delete(books).where(eq(books.id, 3))).rowCount, 1);
        assert.equal(await db.$count(books), 2);
    },
    async 'joins, aggregates, relational queries'() {
        await fresh();
        const joined = await db.select({ name: authors.name, n: sql`count(${books.id})::int` }).from(authors).leftJoin(books, eq(books.author, authors.id))
            .groupBy(authors.name).orderBy(authors.name);
        assert.deepEqual(joined, [{ name: 'Ann', n: 2 }, { name: 'Bob', n: 1 }]);
        const nested = await db.query.authors.findMany({ with: { books: { columns: { title: true } } }, orderBy: (a, { asc }) => asc(a.id) });
        assert.deepEqual(nested.map((a) => a.books.length), [2, 1]);
        assert.equal((await db.query.books.findFirst({ with: { writer: true }, where: eq(books.id, 3) })).writer.name, 'Bob');
    },
    async 'upsert and prepared statements'() {
        await fresh();
        await db.insert(authors).values({ id: 1, name: 'Anna' }).onConflictDoUpdate({ target: authors.id, set: { name: 'Anna' } });
        const byId = db.select({ name: authors.name }).from(authors).where(eq(authors.id, sql.placeholder('id'))).prepare('by_id');
        for (const [id, name] of [[1, 'Anna'], [2, 'Bob'], [1, 'Anna']]) assert.deepEqual(await byId.execute({ id }), [{ name }]);
    },
    async 'batch is one transaction'() {
        await fresh();
        const [inserted, rows] = await db.batch([db.insert(authors).values({ name: 'Cy' }).returning({ id: authors.id }), db.select({ n: authors.name }).from(authors).orderBy(authors.id)]);
        assert.deepEqual(inserted, [{ id: 3 }]);
        assert.deepEqual(rows.map((r) => r.n), ['Ann', 'Bob', 'Cy']);
        await assert.rejects(db.batch([db.insert(authors).values({ name: 'Di' }), db.execute(sql`select 1/0`)]),
            (e) => (e.cause ?? e).code === '22012');
        assert.equal(await db.$count(authors), 3);
    },
    async 'errors keep their fields'() {
        await fresh();
        await assert.rejects(db.insert(authors).values({ id: 1, name: 'again' }),
            (e) => (e.cause ?? e).code === '23505' && (e.cause ?? e).constraint === 'authors_pkey');
    },
    async 'raw execute'() {
        const r = await db.execute(sql`select ${1}::int as a, ${'x'}::text as b`);
        assert.deepEqual(r.rows, [{ a: 1, b: 'x' }]);
        assert.equal(r.rowCount, 1);
    },
};

const name = process.argv[2];
if (name) await tests[name]();
else console.log(Object.keys(tests).join('\n'));
