# gov_setup_check: nothing after an installation; what is dropped or disabled is named,
# and the remedy makes it what it was. What the list of expectations has is what the installation has made.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('setup', extension => 0, conf => "governance.rollup_interval = '50ms'\ngovernance.event_retention = '1s'");
my $schema = 'the schema';

$node->safe_psql('postgres', qq{create schema "$schema"; create extension governance schema "$schema"; alter database postgres set search_path = "$schema"});

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub problems { return sql('select what, object, problem from gov_setup_check()'); }

is(problems(), '', 'nothing is wrong after an installation');
is(sql('select _gov_library_version() = extversion from pg_extension where extname = $$governance$$'), 't', 'the library is of the same version');

# ---------------------------------------------------------------- the list

my $members = q{pg_depend d join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and e.extname = 'governance'
	join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 'r'};
my %there = (
	constraint => "select c.relname, n.conname, n.conname, pg_get_constraintdef(n.oid) from $members join pg_constraint n on n.conrelid = c.oid and n.contype in ('c', 'f', 'p', 'u')",
	index => "select c.relname, x.relname, x.relname, pg_get_indexdef(x.oid) from $members join pg_index i on i.indrelid = c.oid join pg_class x on x.oid = i.indexrelid where not exists (select from pg_constraint n where n.conindid = x.oid and n.conrelid = c.oid)",
	trigger => "select c.relname, t.tgname, t.tgname || ' ' || t.tgenabled::text, pg_get_triggerdef(t.oid) from $members join pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal",
	policy => "select c.relname, p.polname, p.polname, concat_ws(' ', p.polcmd, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) from $members join pg_policy p on p.polrelid = c.oid",
	'row-level security' => "select c.relname, c.relname, c.relname, c.relrowsecurity::text from $members where c.relrowsecurity",
	'replica identity' => "select c.relname, c.relname, c.relname, c.relreplident::text from $members where c.relreplident <> 'd'");

sub there { my ($what) = @_; return sql("select string_agg(concat_ws(' ', relname, who, def), E'\\n' order by relname, who, def) from ($there{$what}) t (relname, name, who, def)"); }

my %before = map { $_ => there($_) } keys %there;

foreach my $what (sort keys %there)
{
	my $listed = sql(qq{select string_agg(concat_ws(' ', relation, name || case when what = 'trigger' then ' ' || enabled::text else '' end), E'\\n' order by relation, name) from _gov_expected() where what = '$what'});

	is($listed, sql("select string_agg(concat_ws(' ', relname, who), E'\\n' order by relname, name) from ($there{$what}) t (relname, name, who, def)"), "each $what is on the list");
}

# ---------------------------------------------------------------- what is missing

# Run every remedy, in an order in which each can: keys before what refers to them.
sub mend
{
	my ($label) = @_;

	sql(q{do $do$ declare r record; begin
		for r in select remedy from gov_setup_check() order by what <> 'constraint', remedy !~ 'primary key|unique' loop
			execute r.remedy;
		end loop; end $do$});
	is(problems(), '', "$label: the remedies make all well");
	is(there($_), $before{$_}, "$label: each $_ is as it was") foreach sort keys %there;
	return;
}

my %drop = (
	constraint => q{alter table %1$s drop constraint %2$I cascade}, index => q{drop index %2$I}, trigger => q{drop trigger %2$I on %1$s},
	policy => q{drop policy %2$I on %1$s}, 'row-level security' => q{alter table %1$s disable row level security},
	'replica identity' => q{alter table %1$s replica identity default});

foreach my $what (sort keys %drop)
{
	my $count = sql("select count(*) from _gov_expected() where what = '$what'");

	sql(qq{do \$do\$ declare r record; begin
		for r in select format('$drop{$what}', x.relation::regclass, x.name) as command from _gov_expected() x where x.what = '$what' order by x.definition ~ 'primary key' loop
			begin execute r.command; exception when undefined_object then null; end;
		end loop; end \$do\$});
	is(sql('select what, count(*), count(distinct remedy) from gov_setup_check() group by 1'), "$what|$count|$count", "$what: all $count are missed");
	if ($what eq 'index')
	{
		my (undef, undef, $error) = $node->psql('postgres', q{select gov_allowed('acme', 'tokens')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

		like($error, qr/55000: an index of extension "governance" is missing.*gov_setup_check/s, 'which calls say');
	}
	mend("missing $what");
}

# ---------------------------------------------------------------- what is disabled

sql('alter table gov_assignments disable trigger all; alter table gov_events disable trigger gov_events_guard; alter table gov_entities enable trigger gov_entities_note');
is(sql(q{select count(*) from gov_setup_check() where what = 'trigger' and problem = 'disabled'}),
	sql(q{select 1 + count(*) from _gov_expected() where what = 'trigger' and relation = 'gov_assignments'}), 'disabled triggers');
is(sql(q{select object, problem from gov_setup_check() where problem not in ('disabled')}), qq{gov_entities_note on "$schema".gov_entities|not enabled as it was made}, 'one that does not fire for replicas');
is(sql(q{select string_agg(object, ', ' order by object) from gov_setup_check() where what = 'constraint'}),
	qq{gov_assignments_capability_id_fkey on "$schema".gov_assignments, gov_assignments_entity_id_fkey on "$schema".gov_assignments}, 'and foreign keys that hold no longer');
sql(q{do $do$ declare r record; begin for r in select remedy from gov_setup_check() order by remedy !~ 'trigger all' loop execute r.remedy; end loop; end $do$});
mend('disabled');
sql('alter table gov_rollup_state set unlogged');
is(problems(), qq{table|"$schema".gov_rollup_state|unlogged: a crash empties it}, 'a table that is not logged');
mend('unlogged');

# What users add is theirs.
sql(q{alter table gov_events add region text; create index on gov_events (caller); alter table gov_alerts add check (usage > 0)});
is(problems(), '', 'what users have added is nothing wrong');

# ---------------------------------------------------------------- the worker

gov_build($node, 'postgres', schema => qq{"$schema"});
sql(q{create function refuse() returns trigger language plpgsql as $$ begin raise 'not today'; end $$;
	create trigger refuse before insert on gov_usage for each row execute function refuse()});
gov_use($node, 'postgres', 1, schema => qq{"$schema"});
ok($node->poll_query_until('postgres', q{select exists (select from gov_setup_check() where (what, object, problem) = ('worker', 'rollup', 'failing: P0001: not today'))}), 'a step of the worker that fails');
sql('drop trigger refuse on gov_usage');
ok($node->poll_query_until('postgres', 'select not exists (select from gov_setup_check())'), 'and works again');
sql('alter system set max_worker_processes = 0');
$node->restart;
gov_use($node, 'postgres', 1, schema => qq{"$schema"});
is(problems(), '', 'without a worker, but not long');
sql(q{alter system set governance.clock_offset = '1h'; select pg_reload_conf()});
ok($node->poll_query_until('postgres', q{select exists (select from gov_setup_check() where what = 'worker' and problem ~ '^does not run, and the ledger is 36\d\d seconds behind')}), 'long without a worker');
sql('select gov_maintain()');
is(problems(), '', 'gov_maintain does its work');

# ---------------------------------------------------------------- the library

$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
is(problems(), 'library|governance|not in shared_preload_libraries', 'without the library preloaded');

$node->stop;
done_testing();
