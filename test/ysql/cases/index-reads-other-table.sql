-- An index's expression and another's predicate call functions, declared immutable, that read a table whose rows come later.
create table z_lookup(code int primary key, zone text);
create function public.zone_of(c int) returns text immutable language plpgsql as $$ begin return (select zone from public.z_lookup where code = c); end $$;
create function public.is_zone3(c int) returns boolean immutable language plpgsql as $$ begin return exists(select from public.z_lookup where code=c and zone='zone3'); end $$;
insert into z_lookup select i, 'zone'||i from generate_series(0,9) i;
create table a_big(id int, c int, pad text);
insert into a_big select i, i%10, repeat(md5(i::text),4) from generate_series(1,20000) i;
create index a_big_zone on a_big (public.zone_of(c));
create index a_big_part on a_big (id) where public.is_zone3(c);
-- Between the two in the order of a load, so that they are in different tasks.
create table m_filling as select i as id, repeat(md5(i::text), 4) as pad from generate_series(1,15000) i;
