-- What the load works on. A row of `writes` notifies its tag on the channel it names.
create role authenticator login noinherit password 'chaos-secret';
create role app1 login password 'chaos-secret';
create role app2 login password 'chaos-secret';
create role filler login;
create role alice nologin;
create role bob nologin;
grant alice, bob to authenticator;

create table writes (tag text not null, n int not null default 1, channel text, by name default current_user);
create index on writes (tag);
create function tell() returns trigger language plpgsql as $$
begin
    perform pg_notify(new.channel, new.tag);
    return null;
end $$;
create trigger tell after insert on writes for each row when (new.channel is not null and new.n = 1) execute function tell();

create table accounts (id int primary key, balance bigint not null);
insert into accounts select i, 1000 from generate_series(1, 20) i;

create table parents (id int primary key);
create table children (tag text, parent int references parents deferrable initially deferred);

create function sub() returns text language sql stable
    return nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub';
create function nonce() returns text language sql stable
    return nullif(current_setting('request.jwt.claims', true), '')::json ->> 'nonce';

-- Each sees and makes rows of its own alone.
create table notes (id bigint generated always as identity primary key, owner text not null default sub(), tag text not null);
create index on notes (owner, id);
alter table notes enable row level security;
create policy own on notes to alice, bob using (owner = sub() and owner = current_user) with check (owner = sub());

-- An upsert or an update of kv leaves a row in writes each time.
create table kv (k text primary key, tag text not null);
create function kv_written() returns trigger language plpgsql security definer as $$
begin
    insert into writes (tag) values (new.tag);
    return null;
end $$;
create trigger written after insert or update on kv for each row execute function kv_written();

create function put(tag text, channel text) returns text language plpgsql volatile as $$
begin
    insert into writes (tag, channel) values (tag, channel);
    return tag;
end $$;
create function whoami(mark text) returns json language sql stable
    return json_build_object('mark', mark, 'role', current_user, 'sub', sub(), 'nonce', nonce());
create table migrated (id int primary key);

grant select, insert on writes, children to app1, app2, alice, bob;
grant select, update on accounts to app1, app2;
grant select, insert on notes to alice, bob;
grant select, insert, update on kv to alice, bob;
grant select on migrated to alice, bob;
