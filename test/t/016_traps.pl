# Whoever may create in the extension's schema gets no code of his run by it: not with operators and functions that match
# better than pg_catalog's or than the extension's own, whether they were there before CREATE EXTENSION, before ALTER
# EXTENSION UPDATE, or came after.
#
# A role that may do nothing but create in the schema sets traps there (test/traps.sql); every one says in the log that it was
# sprung. Then every function is called, as a superuser and as each profile, with arguments of exactly its types: the caller's
# own statements are his to write with care.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovUpgrade;

my $node = gov_node('traps', extension => 0, conf => "governance.rollup_interval = '1h'");
my $source = join '', map { slurp_file($_) } glob "$FindBin::RealBin/../../sql/[0-9]*.sql";
my $traps = slurp_file("$FindBin::RealBin/../traps.sql");

# The names that the extension's SQL has for operators and functions.
my %operators = map { $_ => 1 } $source =~ /(?<![-\w'"(<>])([-+*\/<>=~!@#%^&|?]{1,3})(?=[\s(])/g;
my %functions = map { $_ => 1 } $source =~ /(?<![\w.])([a-z][a-z_0-9]*)\(/g;
my $settings = sprintf "set traps.operators = '%s'; set traps.functions = '%s';",
  join(' ', grep { !/--|\/\*|\*\// } sort keys %operators), join(' ', sort keys %functions);

$node->safe_psql('postgres', q{
	create role trapper login;
	create role app login; create role reader login; create role admin login; create role tenant login;
	alter role tenant set governance.owner = 'acme'});

sub set_traps
{
	my ($db, $schema) = @_;

	return $node->safe_psql($db, "$settings set traps.schema = '$schema'; $traps", extra_params => [ '-U', 'trapper' ]);
}

my $log_from = 0;

# Ask psql to run statements one by one as a role, whatever they answer; what a profile may not do is refused.
sub run_as
{
	my ($db, $role, @statements) = @_;
	my ($ret, $stdout, $stderr) = $node->psql($db, join(";\n", @statements, ''), on_error_stop => 0, extra_params => [ '-U', $role ]);

	return ($stdout, $stderr);
}

sub no_trap_was_sprung
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($label) = @_;
	my $log = slurp_file($node->logfile, $log_from);
	my %sprung = map { $_ => 1 } $log =~ /trap sprung: (.*)/g;

	$log_from = -s $node->logfile;
	is(join("\n", sort keys %sprung), '', "$label: no trap was sprung");
	return;
}

# One of each call, as an application, a vendor's admin or a customer would make it, with exact types.
sub calls
{
	my ($schema) = @_;
	my $agent = q{array['agent-1']::text[]};
	my $all = qq{'{"model": "m", "agentId": "agent-1"}'::jsonb, $agent};
	my $now = q{'2024-01-01'::timestamptz, '2100-01-01'::timestamptz};
	my @calls = (
		q{gov_upsert_entity_types('[{"id": "org"}, {"displayName": "AI agent", "attributionKeys": ["agentId", "a"]}, {"id": "team"}]'::jsonb)},
		q{gov_upsert_entity_types('{"types": [{"id": "org", "description": "an org"}, {"displayName": "AI agent"}]}'::jsonb)},
		q{gov_upsert_entity_types('[{"displayName": "ai AGENT"}]'::jsonb)},
		q{gov_upsert_entity_types('[{"displayName": "???"}]'::jsonb)},
		q{gov_upsert_capabilities('[{"id": "tokens", "kind": "credit", "unit": "token"}, {"id": "calls"}]'::jsonb)},
		q{gov_upsert_capabilities('[{"id": "tokens", "displayName": "Tokens"}, {"id": "x", "kind": "bad"}]'::jsonb)},
		q{gov_upsert_entities('acme'::text, '[{"id": "org-1", "typeRefId": "org", "metadata": {"a": "b"}}, {"id": "agent-1", "typeId": "ai-agent", "parentId": "org-1"}, {"id": "agent-2", "typeId": "ai-agent"}]'::jsonb)},
		q{gov_upsert_entities('acme'::text, '[{"id": "org-1", "metadata": {"a": "", "c": "d"}}, {"id": "agent-2", "parentId": "org-1"}]'::jsonb)},
		q{gov_upsert_entities('acme'::text, '[{"id": "org-1", "parentId": "nobody"}]'::jsonb)},
		q{gov_upsert_assignments('acme'::text, '[{"entityId": "org-1", "capabilityId": "tokens", "usageLimit": 1000, "cadence": "P1M", "anchorAt": "2024-01-31T00:00:00Z", "alertThresholds": [100, 80]}, {"entityId": "agent-1", "featureId": "tokens", "usageLimit": 100.5, "cadence": null, "scopeEntityIds": ["org-1"], "name": "n", "strictAllocation": false}]'::jsonb)},
		q{gov_upsert_assignments('acme'::text, '[{"entityId": "org-1", "capabilityId": "tokens", "usageLimit": 2000, "strictAllocation": true}, {"entityId": "agent-1", "capabilityId": "tokens", "usageLimit": 500, "cadence": "P1M", "parentId": "org-1"}]'::jsonb)},
		q{gov_upsert_assignments('acme'::text, '[{"entityId": "agent-1", "capabilityId": "tokens", "usageLimit": 500000, "cadence": "P1M"}]'::jsonb)},
		q{gov_upsert_assignments('acme'::text, '[{"entityId": "agent-1", "capabilityId": "calls", "usageLimit": 5, "cadence": "P1M", "timezone": "Mars/Olympus"}]'::jsonb)},
		q{gov_set_alert_policy('acme'::text, '{80,100}'::numeric[])}, q{gov_set_alert_policy(null::text, '{90,50}'::numeric[])},
		q{gov_set_alert_policy('acme'::text, '{0}'::numeric[])}, q{gov_set_alert_policy('acme'::text, null::numeric[])},
		qq{gov_check('acme'::text, 'tokens'::text, 1::numeric, $all)}, qq{gov_allowed('acme'::text, 'tokens'::text, 1::numeric, $all)},
		qq{gov_headroom('acme'::text, 'tokens'::text, 1::numeric, $all)},
		qq{gov_ingest('acme'::text, 'tokens'::text, 900::numeric, $all, 'key'::text, null::timestamptz)},
		qq{gov_ingest('acme'::text, 'tokens'::text, 900::numeric, $all, 'key'::text, null::timestamptz)},
		q{gov_ingest_many('acme'::text, '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}, {"capabilityId": "no"}]'::jsonb)},
		qq{gov_consume('acme'::text, 'tokens'::text, 1::numeric, $all, null::text)}, qq{gov_require('acme'::text, 'tokens'::text, 1::numeric, $all, null::text)},
		qq{gov_require('acme'::text, 'tokens'::text, 1000000::numeric, $all, null::text)},
		qq{gov_reserve('acme'::text, 'tokens'::text, 1::numeric, $all, 'hold'::text, '1 hour'::interval)},
		qq{gov_extend(h.id, '2 hours'::interval) from $schema.gov_holds h}, qq{gov_settle(h.id, 2::numeric) from $schema.gov_holds h},
		qq{gov_reserve('acme'::text, 'tokens'::text, 1::numeric, $all, null::text, '1 hour'::interval)}, qq{gov_release(h.id) from $schema.gov_holds h},
		q{gov_get_entity('acme'::text, 'org-1'::text)}, q{gov_get_capability('tokens'::text)}, q{gov_get_entity_type('org'::text)},
		(map { my $list = $_;
				my $next = $list =~ s/PAGE/null::text, null::text, 1::int/r;
				($next, $list =~ s/PAGE/($schema.$next operator(pg_catalog.->) 'pagination'::text) operator(pg_catalog.->>) 'next'::text, null::text, 1::int/r,
					$list =~ s/PAGE/'W10='::text, null::text, 1::int/r) }
			'gov_list_entity_types(PAGE)', 'gov_list_capabilities(PAGE)', q{gov_list_entities('acme'::text, PAGE, null::text, true)},
			q{gov_list_assignments('acme'::text, PAGE, null::text, 'tokens'::text)}),
		q{gov_query('acme'::text, array['tokens']::text[], 'utilization'::text, 'desc'::text, 'all'::text, 0::numeric, array['ai-agent']::text[], 'a'::text, 'org-1'::text, 1::int, null::text)},
		q{gov_query('acme'::text, null::text[], 'id'::text, 'asc'::text, 'all'::text, null::numeric, null::text[], null::text, null::text, 20::int, null::text)},
		q{gov_tree('acme'::text, array['tokens']::text[], 'org-1'::text)}, q{gov_tree('acme'::text, null::text[], null::text)},
		q{gov_report('acme'::text, 'tokens'::text, 'org-1'::text, 5::int)}, q{gov_report('acme'::text, null::text, null::text, null::int)},
		(map { qq{gov_attribution('acme'::text, 'tokens'::text, array['org', 'model']::text[], $now, } . $_ . '::interval)' } "'1 day'", "'1 month'", "'6 hours'", 'null'),
		qq{gov_attribution('acme'::text, 'tokens'::text, array['org', 'model']::text[], $now, '1 day'::interval, 'Asia/Kolkata'::text)},
		qq{gov_attribution('acme'::text, 'tokens'::text, array['org']::text[], $now, '1 day'::interval, 'Mars'::text)},
		(map { "gov_usage_sums('2020-01-01'::timestamptz, 'infinity'::timestamptz, $_, array['acme']::text[], array['tokens']::text[])" }
			"'1 day'::interval, 'UTC'::text", "'1 month'::interval, null::text", "'6 hours'::interval, 'UTC'::text", "null::interval, 'UTC'::text",
			"'1 day'::interval, 'Asia/Kolkata'::text", "'0'::interval, 'UTC'::text"),
		qq{gov_backtest('acme'::text, '[{"entityId": "agent-1", "capabilityId": "tokens", "usageLimit": 1, "cadence": "P1D"}]'::jsonb, $now)},
		qq{gov_backtest('acme'::text, '[{"entityId": "agent-1", "capabilityId": "tokens", "usageLimit": -1, "cadence": "P1D"}]'::jsonb, $now)},
		q{gov_archive_entities('acme'::text, array['agent-2']::text[])}, q{gov_archive_entities('acme'::text, array['nobody']::text[])}, q{gov_archive_entities('acme'::text, '{{a},{b}}'::text[])},
		q{gov_unarchive_entities('acme'::text, array['agent-2']::text[])},
		q{gov_window('P1M'::text, null::timestamptz, 'UTC'::text, '2024-02-01'::timestamptz)},
		q{gov_verify('acme'::text)}, q{gov_verify(null::text)}, 'gov_maintain()', 'gov_maintain()', 'gov_refresh()',
		q{gov_grant('app'::name, 'app'::text)}, q{gov_grant('reader'::name, 'reader'::text)}, q{gov_grant('admin'::name, 'admin'::text)},
		q{gov_grant('tenant'::name, 'tenant'::text)}, q{gov_revoke('trapper'::name)},
		q{gov_delete_owner('other'::text)});

	return (
		(map { "select $schema.$_" } @calls),
		(map { "select * from $schema.$_" } qw(gov_entity_types gov_capabilities gov_entities gov_assignments gov_events gov_usage
			  gov_usage_by_time gov_usage_hourly gov_reservations gov_holds gov_event_log gov_usage_log gov_alert_log gov_alerts gov_denials gov_alert_policies gov_budgets gov_allocations gov_stats gov_rollup_waits)),
		"insert into $schema.gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, scope_entity_ids, timezone, alert_thresholds)
			values ('acme', 'org-1', 'calls', 10::numeric, 'P1D', array['agent-2', 'agent-1']::text[], 'Europe/Berlin', array[90, 80]::numeric[])",
		"update $schema.gov_assignments set usage_limit = 7::numeric, cadence = 'P1W', anchor_at = '2024-01-01'::timestamptz, timezone = 'UTC',
			alert_thresholds = array[50]::numeric[]",
		"update $schema.gov_assignments set cadence = 'P9999Y', anchor_at = '4000-01-01'::timestamptz",
		"update $schema.gov_entities set display_name = 'x', metadata = '{}'::jsonb, parent_id = null",
		"update $schema.gov_assignments set alert_thresholds = '{{1},{2}}'::numeric[]", "update $schema.gov_alert_policies set thresholds = '{{1},{2}}'::numeric[]",
		"update $schema.gov_entities set id = 'moved'", "update $schema.gov_capabilities set unit = 'u'",
		"update $schema.gov_entity_types set attribution_keys = array['b', 'a']::text[]",
		"update $schema.gov_alert_policies set thresholds = array[75]::numeric[]",
		"delete from $schema.gov_assignments", "delete from $schema.gov_alert_policies");
}

# Every function there is, helpers too, with nulls and with something of each type: what they answer does not matter.
sub every_function
{
	my ($db) = @_;

	return split /\n/, $node->safe_psql($db, q{
		select format('select * from %s(%s) x', p.oid::regproc,
			(select string_agg(coalesce(v.value, 'null') || '::' || u.type::regtype, ', ' order by u.n) from unnest(p.proargtypes) with ordinality u (type, n)
			 left join (values ('text'::regtype, '''acme'''), ('jsonb', '''[{"id": "a", "entityId": "org-1", "capabilityId": "tokens"}]'''), ('integer', '1'), ('numeric', '80.5'),
				('text[]', '''{id}'''), ('numeric[]', '''{3,1}'''), ('timestamptz', '''2024-01-01'''), ('interval', '''1 day'''), ('boolean', 'true')) v (type, value)
				on v.type = u.type and i.has_values))
		from pg_extension e
		join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
		join pg_proc p on p.oid = d.objid
		cross join (values (true), (false)) i (has_values)
		where e.extname = 'governance' and p.prorettype not in ('trigger'::regtype, 'internal'::regtype) and p.proname <> 'gov_delete_owner'
		order by p.proname});
}

sub exercise
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($db, $schema, $label) = @_;
	my @calls = calls($schema);
	my ($stdout, $stderr);

	foreach my $role ('postgres', 'admin', 'reader', 'app', 'tenant', 'postgres')
	{
		my ($out, $err) = run_as($db, $role, @calls, every_function($db));

		($stdout, $stderr) = ($out, $err) if $role eq 'postgres';
		no_trap_was_sprung("$label, as $role");
	}
	like($stdout, qr/"usageLimit": 2000/, "$label: the catalog functions answered");
	like($stdout, qr/""isGranted"": true/, "$label: the gate answered");
	unlike($stderr, qr/syntax error|(?:function|operator|type) \S+ (?:does not exist|is not unique)/, "$label: nothing was looked up in vain");
	is($node->safe_psql($db, "select count(*) from $schema.gov_verify(null::text)"), '0', "$label: gov_verify finds nothing");
	return;
}

# Whatever was parsed when it was made uses only pg_catalog and the extension; whatever is parsed when it runs sets its own path.
sub is_closed
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($db, $label) = @_;

	is( $node->safe_psql($db, q{
			select p.oid::regprocedure
			from pg_extension e
			join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
			join pg_proc p on p.oid = d.objid
			join pg_language l on l.oid = p.prolang
			where e.extname = 'governance' and l.lanname <> 'c' and p.prosqlbody is null
			and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)}),
		'', "$label: every function sets its path");
	is( $node->safe_psql($db, q{
			select pg_describe_object(d.classid, d.objid, 0) || ' uses ' || pg_describe_object(d.refclassid, d.refobjid, 0)
			from pg_depend d
			left join pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
			left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
			where d.deptype = 'n' and coalesce(p.proowner, o.oprowner) = 'trapper'::regrole
			and not (d.classid = 'pg_operator'::regclass and exists (select from pg_operator x where x.oid = d.objid and x.oprowner = 'trapper'::regrole))}),
		'', "$label: nothing depends on what is not ours");
	return;
}

# ---- traps before and after CREATE EXTENSION, in public, open to all as in databases from before PostgreSQL 15

$node->safe_psql('postgres', 'grant create on schema public to public');
cmp_ok(set_traps('postgres', 'public'), '>', 3000, 'traps are set');
my ($ret, $stdout, $stderr) = $node->psql('postgres', 'create extension governance');
is($ret, 0, 'the extension is created among them');
like($stderr, qr/WARNING:  .*schema public.*\nDETAIL:  .* PUBLIC\./, 'and warns of a schema that others can create in');
is_closed('postgres', 'created');
cmp_ok(set_traps('postgres', 'public'), '>', 8000, 'more traps are set, on rows and names of the extension');

# The traps do spring.
run_as('postgres', 'postgres', q{select null::gov_entities = null::gov_entities}, q{select gov_get_capability('tokens'::varchar)});
my $log = slurp_file($node->logfile, $log_from);
like($log, qr/trap sprung: public."trap ="\(public.gov_entities, public.gov_entities\) as postgres/, 'an operator springs for who is careless');
like($log, qr/trap sprung: public.gov_get_capability\(character varying\) as postgres/, 'and a function');
$log_from = -s $node->logfile;
exercise('postgres', 'public', 'created');

# ---- the owner of the schema, who is not that of the extension, puts another in its place

$node->safe_psql('postgres', q{alter schema public owner to trapper; grant create on database postgres to trapper});
gov_raises($node, 'postgres', 'set role trapper; alter schema public rename to theirs', '0A000', 'a new name for the schema',
	qr/cannot rename schema "public"/);
$node->safe_psql('postgres', q{set role trapper; create schema other; alter schema other rename to another});
is($node->psql('postgres', q{alter schema public owner to pg_database_owner}), 0, 'another owner of the schema');
gov_raises($node, 'postgres', 'alter extension governance set schema another', '0A000', 'another schema for the extension');

# He may drop indexes, without which no call works; but not take the extension's place, nor an index's.
$node->safe_psql('postgres', 'create database swapped');
$node->safe_psql('swapped', q{
	create extension governance;
	insert into gov_capabilities (id) values ('tokens');
	grant create on database swapped to trapper;
	alter schema public owner to trapper});
gov_raises($node, 'swapped', 'set role trapper; drop index public.gov_events_key; alter schema public rename to theirs',
	'0A000', 'a new name for the schema, after an index is dropped', qr/cannot rename schema "public"/);
$node->safe_psql('swapped', q{
	set role trapper;
	create table public.mine (a int, b jsonb, c int, d int, e int, f int, g jsonb);
	drop index if exists public.gov_events_key;
	create unique index gov_events_key on public.mine (b, g)});
gov_raises($node, 'swapped', q{select gov_ingest('acme', 'tokens', 1, null, null, 'key')}, '55000', 'an index of that name on another table is not used');

# ---- traps before ALTER EXTENSION UPDATE

SKIP:
{
	skip 'the directory of extensions may not be written', 1 unless gov_provide_version($node, '1.0.0');

	$node->safe_psql('postgres', 'create database updated');
	$node->safe_psql('updated', q{grant create on schema public to public; create extension governance version '1.0.0'});
	set_traps('updated', 'public');
	$log_from = -s $node->logfile;
	($ret, $stdout, $stderr) = $node->psql('updated', 'alter extension governance update');
	is($ret, 0, 'the extension is updated among traps') or diag $stderr;
	no_trap_was_sprung('updated');
	is_closed('updated', 'updated');
	set_traps('updated', 'public');
	exercise('updated', 'public', 'updated');

	# A 1.0.0 into whose constraints somebody had put his own operators. That is not mended in silence.
	$node->safe_psql('postgres', 'create database broken');
	$node->safe_psql('broken', 'grant create on schema public to public');
	$node->safe_psql('broken', q{
		create function public.never(numeric, integer) returns boolean language sql immutable as 'select false';
		create operator public.>= (leftarg = numeric, rightarg = integer, function = public.never)}, extra_params => [ '-U', 'trapper' ]);
	$node->safe_psql('broken', q{create extension governance version '1.0.0'});
	gov_raises($node, 'broken', 'alter extension governance update', '55000', 'an update of what was trapped',
		qr/constraint gov_assignments_usage_limit_check .* uses operator public.>=\(numeric,integer\)/);
}

$node->stop;
done_testing();
