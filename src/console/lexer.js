// PostgreSQL's lexical rules (manual, 4.1), as far as an editor needs them: where strings, comments and statements end.

const KEYWORDS = `abort add all alter analyze and any array as asc asymmetric at atomic authorization before begin between both by call cascade case cast
check close cluster collate column comment commit concurrently conflict constraint copy create cross cube current current_catalog current_date
current_role current_schema current_time current_timestamp current_user cursor cycle database deallocate declare default deferrable deferred delete
desc distinct do domain drop each else end enum escape except exclude execute exists explain extension fetch filter first for foreign from full
function generated global grant group grouping having identity if ilike immediate immutable in index inherit initially inner insert instead intersect
into is isnull join key language last lateral leading left level like limit listen local localtime localtimestamp lock locked logged match
materialized merge natural new next no not nothing notify notnull null nulls of offset old on only or order ordinality outer over overlaps owner
partition partitioned placing policy prepare preserve primary procedure publication range read recursive references refresh reindex release rename
replica reset restrict returning returns revoke right role rollback rollup row rows savepoint schema security select sequence serializable session
session_user set sets setof show similar skip some stable start statistics stored strict subscription symmetric table tables tablesample temporary
then to trailing transaction trigger truncate type union unique unlisten unlogged update user using vacuum values variadic view volatile when where
window with within without work write zone`.split(/\s+/);
export const keywords = new Set(KEYWORDS);
const CONSTANTS = new Set(['true', 'false', 'null']);

const RULES = [
  ['space', /\s+/y],
  ['comment', /--[^\n]*/y],
  ['string', /[eE]'(?:[^'\\]|''|\\[\s\S])*(?:'|$)/y],
  ['string', /(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|$)/y],
  ['string', /\$(\w*)\$[\s\S]*?(?:\$\1\$|$)/y],
  ['quoted', /(?:[uU]&)?"(?:[^"]|"")*(?:"|$)/y],
  ['param', /\$\d+/y],
  ['number', /(?:0[xX][\da-fA-F_]+|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)/y],
  ['word', /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y],
  ['end', /;/y],
  ['sign', /[^\s]/y],
];

// Comments between slashes and stars nest.
function comment(text, at) {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text.startsWith('/*', i)) { depth++; i++; }
    else if (text.startsWith('*/', i)) { i++; if (--depth === 0) return i + 1; }
  }
  return text.length;
}

// [{type, from, to, text}]: type is one of the names above, or keyword, constant.
export function tokens(text) {
  const out = [];
  for (let at = 0; at < text.length;) {
    let type = 'sign', to = at + 1;
    if (text.startsWith('/*', at)) {
      type = 'comment';
      to = comment(text, at);
    } else {
      for (const [name, rule] of RULES) {
        rule.lastIndex = at;
        const m = rule.exec(text);
        if (!m) continue;
        type = name;
        to = at + m[0].length;
        break;
      }
    }
    const word = text.slice(at, to);
    if (type === 'word') {
      const lower = word.toLowerCase();
      if (CONSTANTS.has(lower)) type = 'constant';
      else if (keywords.has(lower)) type = 'keyword';
    }
    out.push({ type, from: at, to, text: word });
    at = to;
  }
  return out;
}

// [{text, from, to}] of each statement, without its semicolon and the white space around it. The body of a function in SQL
// (BEGIN ATOMIC ... END) keeps its semicolons.
export function statements(text) {
  const out = [];
  let first = -1, last = 0, depth = 0, before = '';
  const close = () => {
    if (first >= 0) out.push({ text: text.slice(first, last), from: first, to: last });
    first = -1;
  };
  for (const t of tokens(text)) {
    if (t.type === 'space' || t.type === 'comment') continue;
    const word = t.text.toLowerCase();
    if (t.type === 'end' && depth === 0) {
      close();
      before = '';
      continue;
    }
    if (first < 0) first = t.from;
    last = t.to;
    if (word === 'atomic' && before === 'begin') depth = 1;
    else if (depth && word === 'case') depth++;
    else if (depth && word === 'end') depth--;
    before = word;
  }
  close();
  return out;
}

export const quoteIdent = name => /^[a-z_][a-z0-9_$]*$/.test(name) && !keywords.has(name) ? name : '"' + name.replaceAll('"', '""') + '"';
export function quoteLiteral(text) {
  const quoted = text.replaceAll("'", "''");
  return text.includes('\\') ? "E'" + quoted.replaceAll('\\', '\\\\') + "'" : "'" + quoted + "'";
}
