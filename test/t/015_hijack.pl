# Who may only ingest can ingest, nothing else; and no schema on the caller's path gets its code run by the engine.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('hijack');

gov_build($node, 'postgres');

# A schema with an operator and a function of every signature that the engine could be using, and tables of its names.
# Each raises; what runs in the engine would run as the extension's owner.
$node->safe_psql('postgres', q{
	create role app login;
	grant execute on function gov_ingest(text, text, numeric, jsonb, text[], text, timestamptz) to app;
	create schema evil authorization app;
	set role app;
	do $$
	declare
		safe oid[] = array['text', 'numeric', 'int8', 'int4', 'timestamptz', 'uuid', 'jsonb', 'bool', 'bytea', 'interval', 'text[]',
			'int8[]', 'anyarray', 'anyelement', 'anycompatible', 'anycompatiblearray', 'regclass', 'oid', 'name', '"any"']::regtype[]::oid[];
		it record;
	begin
		for it in
			select p.oid, p.proname, pg_get_function_identity_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result
			from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and not p.proretset
			and p.provariadic = 0 and p.prorettype = any (safe) and p.prorettype <> '"any"'::regtype
			and not exists (select from unnest(p.proargtypes) a where a <> all (safe) or a = '"any"'::regtype)
			and p.proargmodes is null
		loop
			begin
				execute format('create function evil.%I(%s) returns %s language plpgsql as %L', it.proname,
					(select coalesce(string_agg(a::regtype::text, ', ' order by n), '') from pg_proc q, unnest(q.proargtypes) with ordinality u (a, n) where q.oid = it.oid),
					it.result, 'begin raise exception ''hijacked function''; end');
			exception when invalid_function_definition or duplicate_function or undefined_object then
				null;
			end;
		end loop;
		for it in
			select o.oprname, o.oprleft::regtype as l, o.oprright::regtype as r, o.oprresult::regtype as result, o.oprcode::regproc::text as code
			from pg_operator o where o.oprnamespace = 'pg_catalog'::regnamespace and o.oprright = any (safe)
			and (o.oprleft = any (safe) or o.oprleft = 0) and o.oprresult = any (safe)
		loop
			begin
				execute format('create or replace function evil."op %s"(%s) returns %s language plpgsql as %L', it.code,
					concat_ws(', ', nullif(it.l::text, '-'), it.r::text), it.result, 'begin raise exception ''hijacked operator''; end');
				execute format('create operator evil.%s (%s rightarg = %s, function = evil."op %s")', it.oprname,
					case when it.l::text <> '-' then format('leftarg = %s,', it.l) else '' end, it.r, it.code);
			exception when invalid_function_definition or duplicate_function or invalid_object_definition then
				null;
			end;
		end loop;
		for it in
			select relname from pg_class where relname like 'gov\_%' and relkind = 'r' and relnamespace = 'public'::regnamespace
		loop
			execute format('create table evil.%I (wrong int)', it.relname);
		end loop;
	end $$;
	create table evil.pg_class (wrong int);
	create table evil.pg_type (wrong int);
	create domain evil.text as pg_catalog.int4;
	create domain evil.numeric as pg_catalog.text;
});
cmp_ok(
	$node->safe_psql('postgres', q{select count(*) from pg_operator where oprnamespace = 'evil'::regnamespace}),
	'>', 150, 'evil operators are in place');
cmp_ok(
	$node->safe_psql('postgres', q{select count(*) from pg_proc where pronamespace = 'evil'::regnamespace}),
	'>', 400, 'evil functions are in place');

# As the application, cold and warm, by a prepared statement, and with temporary tables of the same names.
my $path = 'set search_path = evil, pg_catalog, public;';
my $ingest =
  q{select public.gov_ingest('acme', 'tokens', 1, '{"agentId": "agent-1"}', null, 'key-%s', null) is not null};
my $app = $node->background_psql('postgres',
	on_error_stop => 0,
	extra_params => [ '-U', 'app' ]);
gov_ask($app, $path);
is(gov_ask($app, "select pg_catalog.current_setting('search_path')"),
	'evil, pg_catalog, public', 'the path of the caller');
like(gov_ask($app, "select 1::pg_catalog.int8 + 1::pg_catalog.int8"),
	qr/hijacked operator/, 'which does hijack');
is(gov_ask($app, sprintf($ingest, $_)), 't', "ingest $_ as the application")
  foreach (1 .. 3);
gov_ask($app, 'create temp table gov_events (wrong int); create temp table gov_entities (wrong int); create temp table gov_usage (wrong int)');
is(gov_ask($app, 'set search_path = pg_temp, evil, pg_catalog, public;'), '', 'temporary tables first');
is(gov_ask($app, sprintf($ingest, 4)), 't', 'ingest beside temporary tables');
is(gov_ask($app, sprintf($ingest, 4)), 't', 'a duplicate of it');

# A new node for the engine to load, on that path.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'agent-2', 'agent', 'user-1');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('acme', 'agent-2', 'tokens', 5, 'P1M')});
is(gov_ask($app, "select public.gov_ingest('acme', 'tokens', 1, null, array['agent-2']::pg_catalog.text[], null, null) is not null"),
	't', 'a node is loaded');

# Nothing else is allowed.
my %denied = (
	'check' => q{select public.gov_check('acme', 'tokens', 1, null, null)},
	'verify' => 'select public.gov_verify(null)',
	'maintain' => 'select public.gov_maintain()',
	'upsert' => q{select public.gov_upsert_capabilities('[]')},
	'the ledger' => 'select * from public.gov_events',
	'the catalog' => 'select * from public.gov_assignments',
	'a change' => 'delete from public.gov_assignments',
	'the sequence' => q{select pg_catalog.nextval('public.gov_events_id_seq'::pg_catalog.regclass)});
gov_session_raises($app, $denied{$_}, '42501', "the application: $_")
  foreach (sort keys %denied);
$app->quit;

# A superuser with that path: the engine, the functions and the triggers hold.
is( $node->safe_psql('postgres', qq{$path
		select public.gov_ingest('acme', 'tokens', 1, null, array['agent-1']::pg_catalog.text[], 'key-5', null) is not null;
		select pg_catalog.count(*) from public.gov_headroom('acme', 'tokens', 1, null, array['agent-1']::pg_catalog.text[]);
		select remaining from public.gov_check('acme', 'tokens', 1, null, array['agent-1']::pg_catalog.text[]);
		select is_duplicate, error from public.gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}]');
		select pg_catalog.count(*) from public.gov_verify(null);
		select pg_catalog.count(public.gov_upsert_entities('acme', '[{"id": "agent-3", "typeRefId": "agent", "parentId": "user-1"}]'));
		select pg_catalog.count(public.gov_upsert_assignments('acme', '[{"entityId": "agent-3", "capabilityId": "tokens", "usageLimit": 1, "cadence": "P1D", "scopeEntityIds": ["org-1"]}]'));
		select pg_catalog.count(public.gov_list_entities('acme'));
		select pg_catalog.count(public.gov_list_assignments('acme'))}),
	"t\n5\n999995\nf|\n0\n1\n1\n1\n1", 'a superuser on that path');
foreach my $sql (
	'select pg_catalog.count(*) from public.gov_maintain()',
	'select pg_catalog.count(*) from public.gov_stats',
	'select public.gov_refresh()',
	q{update public.gov_assignments set usage_limit = 7, cadence = 'P1W'},
	q{insert into public.gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'agent-4', 'agent', 'user-1')},
	q{delete from public.gov_assignments},
	q{select public.gov_delete_owner('acme')})
{
	my ($ret, $stdout, $stderr) = $node->psql('postgres', "$path $sql");

	is($ret, 0, "on that path: $sql") or diag $stderr;
}
unlike(slurp_file($node->logfile), qr/hijacked (?!operator)/, 'nothing evil ran');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

$node->stop;
done_testing();
