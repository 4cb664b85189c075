-- The schema behind tests/golden/schema.tsv: one of each thing that REST's planner tells apart.
create schema api;
set search_path = api;

create table clients (id int primary key, name text not null);
comment on table clients is 'Who pays';
create table projects (
    id int primary key,
    name text,
    client_id int references clients,
    budget numeric(10, 2)
);
create table tasks (
    id int primary key,
    name text,
    project_id int references projects,
    done boolean not null default false,
    data jsonb,
    old json,
    tags text[],
    search tsvector
);
create table users (id int primary key, name text);
create table users_tasks (
    user_id int references users,
    task_id int references tasks,
    primary key (user_id, task_id)
);
create table profiles (user_id int primary key references users, bio text);
create table people (id int primary key, name text, boss int references people);
create table messages (
    id int primary key,
    sender int references people,
    recipient int references people,
    body text
);
create table orders (a int, b int, note text, primary key (a, b));
create table order_lines (id int primary key, a int, b int, amount int, foreign key (a, b) references orders);
create table "odd ""names""" ("a.b" int primary key, "select" text, "tbl" int references clients);

-- 20 columns: more than a table looks through one by one
create table wide (c1 int, c2 int, c3 int, c4 int, c5 int, c6 int, c7 int, c8 int, c9 int, c10 int,
    c11 int, c12 int, c13 int, c14 int, c15 int, c16 int, c17 int, c18 int, c19 int, c20 jsonb);

create view projects_view as select id, name, client_id from projects;
create view nested_view as select id as nid, client_id as nclient from projects_view;
create view twice_view as select id, client_id as c1, client_id as c2 from projects;
create view totals as select client_id, (select count(*) from tasks t where t.project_id = p.id) as n from projects p;

create function label(projects) returns text language sql stable as 'select $1.name || ''!''';
create function biggest(clients) returns setof projects rows 1 language sql stable
    as 'select * from api.projects where client_id = $1.id order by budget desc limit 1';
create function peers(people) returns setof people language sql stable
    as 'select * from api.people where boss = $1.boss';

create domain color as int;
create function color(json) returns color language sql immutable as 'select 1::api.color';
create function color(text) returns color language sql immutable as 'select 1::api.color';
create function json(color) returns json language sql immutable as 'select ''"x"''::json';
create cast (json as color) with function color(json) as implicit;
create cast (text as color) with function color(text) as implicit;
create cast (color as json) with function json(color) as implicit;
create table paints (id int primary key, shade color, name text);

create type mood as enum ('good', 'bad');
create table days (day date primary key, mood mood, code varchar(5) default 'x');

create domain "text/upper" as text;
create function upper_transition(state "text/upper", line tasks) returns "text/upper" language sql
    as 'select (state || upper(line.name))::api."text/upper"';
create aggregate upper_agg(tasks) (sfunc = upper_transition, stype = "text/upper", initcond = '');

create function add(a int, b int default 1) returns int language sql immutable as 'select a + b';
create function add(a int, b int, c int) returns int language sql immutable as 'select a + b + c';
create function all_tasks() returns setof tasks language sql stable as 'select * from api.tasks';
