# gov_budgets and gov_tree: what the gate says while windows turn, exact in every snapshot while the ledger is written and rolled
# up, the same for a tenant, and read through an owner's own rows whatever the statistics of the tables are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('budgets', conf => "autovacuum = off\ngovernance.rollup_interval = '10ms'");
my $dir = PostgreSQL::Test::Utils::tempdir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

gov_build($node, 'postgres', limit => 100, agents => 3, cadence => 'P1D');
sql(q{
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, anchor_at, timezone, name, enforcement) values
		('acme', 'agent-1', 'tokens', 1000, 'P1M', null, 'Asia/Tokyo', 'monthly', 'hard'),
		('acme', 'agent-1', 'tokens', 0, null, null, 'UTC', 'ever', 'soft'),
		('acme', 'agent-1', 'tokens', null, 'PT6H', '2020-02-29 01:00Z', 'UTC', 'quarters', 'hard'),
		('acme', 'team-1', 'tokens', 1000, 'P1W', null, 'America/New_York', 'weekly', 'soft');
	create function differing(owner text) returns setof text language sql as $$
		with shown as (select b.entity_id, b.name, b.usage_limit, b.current_usage, b.reserved_usage, b.remaining, b.usage_period_start, b.usage_period_end
				from gov_budgets b where b.owner_id = owner),
			checked as (select distinct h.entity_id, h.name, h.usage_limit, h.current_usage, h.reserved_usage, h.remaining, h.usage_period_start, h.usage_period_end
				from gov_headroom(owner, 'tokens', 0, null, (select array_agg(e.id) from gov_entities e where e.owner_id = owner)) h)
		select 'shown ' || d from (table shown except table checked) d union all select 'checked ' || d from (table checked except table shown) d
	$$});

sub is_what_the_gate_says
{
	my ($when) = @_;

	# A window may turn, and a hold expire, between the two.
	ok($node->poll_query_until('postgres', q{select not exists (select differing('acme'))}), "what the gate says: $when")
	  or diag sql(q{select differing('acme')});
}

# ---------------------------------------------------------------- windows

my $usage = q{select string_agg(name || '=' || current_usage, ' ' order by name) from gov_budgets where owner_id = 'acme' and entity_id = 'agent-1'};

gov_use($node, 'postgres', 60);
is(sql($usage), '=60 ever=60 monthly=60 quarters=60', 'the present windows');
is_what_the_gate_says('before anything turns');
my $offset = 0;

foreach my $step (6 * 3600, 86400, 86400, 7 * 86400, 31 * 86400)
{
	$offset += $step;
	sql("alter system set governance.clock_offset = '${offset}s'");
	$node->reload;
	$node->poll_query_until('postgres', qq{select extract(epoch from gov_now() - clock_timestamp()) between $offset - 1 and $offset + 1}) or die;
	is_what_the_gate_says("$offset seconds later");
	gov_use($node, 'postgres', 5);
	sql(q{select gov_reserve('acme', 'tokens', 1, null, '{agent-1}', ttl => '30 hours')});
	is_what_the_gate_says('used and held');
}
is(sql($usage), '=5 ever=85 monthly=5 quarters=5', 'the windows that have turned begin at 0');
gov_roll_up($node, 'postgres');
is_what_the_gate_says('rolled up');
is(sql(q{select * from gov_verify()}), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- one snapshot

# Each commit notes what it has used; whoever sees the one sees the other, wherever the rollup is.
sql(q{
	create table noted (entity_id text, amount numeric);
	insert into noted select entity_id, current_usage from gov_budgets where owner_id = 'acme' and name = 'ever';
	create view wrong as
	select b.current_usage, n.amount
	from gov_budgets b
	cross join (select sum(amount) as amount from noted) n
	where b.owner_id = 'acme' and b.name = 'ever' and b.current_usage <> n.amount});
append_to_file("$dir/use.sql", <<'EOS2');
\set x random(-3, 9)
begin;
select gov_ingest('acme', 'tokens', :x, null, '{agent-1}');
insert into noted values ('agent-1', :x);
\if :x = 9
rollback;
\else
commit;
\endif
EOS2
append_to_file("$dir/read.sql", "select 1 / (1 - count(*)::int) from wrong;\n");
$node->command_ok(
	[ 'pgbench', '-n', '-c', '4', '-j', '2', '-T', '5', '-f', "$dir/use.sql\@3", '-f', "$dir/read.sql\@1", 'postgres' ],
	'usage is that of the snapshot while it is written and rolled up');
cmp_ok(sql('select count(*) from noted'), '>', 100, 'it was written');
is(sql('select count(*) from wrong'), '0', 'and is right in the end');

# ---------------------------------------------------------------- a tenant

my %whole = map { $_ => sql($_) } (
	q{select b from gov_budgets b where owner_id = 'acme' order by entity_id, name},
	q{select t from gov_tree('acme', '{tokens}') t},
	q{select gov_report('acme')},
	q{select a from gov_allocations a where owner_id = 'acme' order by entity_id, name});

gov_build($node, 'postgres', owner => 'globex');
sql(q{create role portal login; alter role portal set governance.owner = 'acme'; select gov_grant('portal', 'tenant')});
foreach my $query (sort keys %whole)
{
	is($node->safe_psql('postgres', $query, extra_params => [ '-U', 'portal' ]), $whole{$query}, "a tenant sees its own: $query");
	is($node->safe_psql('postgres', $query =~ s/'acme'/owner_id/r, extra_params => [ '-U', 'portal' ]), $whole{$query}, 'and nothing else')
	  if $query =~ /where/;
}

# ---------------------------------------------------------------- many others

# An owner with a long ledger and many windows behind it.
sql(q{
	select count(gov_ingest('acme', 'tokens', 0, null, '{agent-2}', null, gov_now() - n * interval '1 day')) from generate_series(1, 3000) n;
	select count(gov_ingest('acme', 'tokens', 0, null, '{agent-1}')) from generate_series(1, 20000) n});
gov_roll_up($node, 'postgres');
sql(q{create role dashboard login; select gov_grant('dashboard', 'reader')});

# The tail stays.
my $idle = $node->background_psql('postgres');
$idle->query_safe(q{begin; select gov_ingest('idle', 'tokens', 1)});

sql(q{
	set session_replication_role = replica;
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select 'big', 'n' || n, 'team', case when n > 1 then 'n' || ((n - 2) / 10 + 1) end from generate_series(1, 10000) n;
	insert into gov_assignments (id, owner_id, entity_id, capability_id, usage_limit, cadence, counter_id)
	select gen_random_uuid(), owner_id, id, 'tokens', 1000, case when length(id) % 2 = 0 then 'P1M' end, nextval('gov_counter_seq') from gov_entities where owner_id = 'big'});

sql(q{
	create function blocks(query text) returns bigint language plpgsql as $$
	declare
		plan jsonb;
	begin
		execute 'explain (analyze, buffers, format json) ' || query into plan;
		return (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
	end $$});

# What a role is answered, with plans that are made for no owner in particular; the second time everything is planned.
sub answers
{
	my ($role, $prepare, @queries) = @_;
	my $all = join ";\n", 'set plan_cache_mode = force_generic_plan', "set statement_timeout = '20s'", $prepare, @queries;
	my @lines = split /\n/, $node->safe_psql('postgres', $all, extra_params => [ '-U', $role ]);

	return @lines;
}

my $budgets = 'prepare budgets (text) as select sum(current_usage + reserved_usage + allocated) from gov_budgets where owner_id = $1';
my @small = (q{execute budgets ('acme')}, q{select blocks($$execute budgets ('acme')$$)});
my $owner = sql('select current_user');
my $before = (answers($owner, $budgets, @small))[1];

sql(q{
	set session_replication_role = replica;
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select 'other-' || o, 'e' || e, 'team', case when e > 1 then 'e1' end from generate_series(1, 20000) o, generate_series(1, 5) e;
	insert into gov_assignments (id, owner_id, entity_id, capability_id, usage_limit, cadence, counter_id)
	select gen_random_uuid(), owner_id, id, 'tokens', 1000, 'P1M', nextval('gov_counter_seq') from gov_entities where owner_id like 'other-%';
	insert into gov_usage (owner_id, assignment_id, counter_id, window_start, window_end, amount, event_count)
	select a.owner_id, a.id, a.counter_id, coalesce(w.window_start, '-infinity'), coalesce(w.window_end, 'infinity'), 1, 1
	from gov_assignments a, gov_window(a.cadence, at => gov_now()) w where a.owner_id = 'big' or a.owner_id like 'other-%';
	insert into gov_events (owner_id, capability_id, amount, entity_ids, occurred_at, recorded_at, counter_ids, window_starts, window_ends)
	select a.owner_id, 'tokens', 2, array[a.entity_id], gov_now(), gov_now(), array[a.counter_id],
		array[coalesce(w.window_start, '-infinity')], array[coalesce(w.window_end, 'infinity')]
	from gov_assignments a, gov_window(a.cadence, at => gov_now()) w where a.owner_id = 'big' or a.owner_id like 'other-%';
	insert into gov_reservations (owner_id, capability_id, amount, entity_ids, expires_at, assignment_ids)
	select owner_id, 'tokens', 1, array[entity_id], gov_now() + interval '1 day', array[id] from gov_assignments where owner_id = 'big' or owner_id like 'other-%'});
cmp_ok(gov_tail($node, 'postgres'), '>', 100000, 'a tail');

# As after a load that nobody has analyzed; with statistics; and with some by which every owner has one row.
my @owned = qw(gov_entities gov_assignments gov_usage gov_events gov_reservations);

foreach my $statistics ([ 'no statistics', 'select' ], [ 'statistics', 'analyze' ],
	[ 'misleading statistics', join '; ', (map { "alter table $_ alter owner_id set (n_distinct = -1)" } @owned), 'analyze' ])
{
	my ($name, $make) = @$statistics;

	sql($make);
	foreach my $role ($owner, 'dashboard', 'portal')
	{
		my $blocks = (answers($role, $budgets, @small))[1];

		cmp_ok($blocks, '<', 2 * $before + 100, "$blocks blocks for a small owner, $before without the others: $role, $name");
	}
	foreach my $role ($owner, 'dashboard')
	{
		is( join(' ', answers($role, "$budgets; prepare tree (text) as select max(depth) from gov_tree(\$1)",
				q{execute budgets ('big')}, q{select sum(current_usage + reserved_usage + allocated) from gov_budgets where owner_id = 'big'},
				q{execute tree ('big')})),
			'72000 72000 4', "a large one is read at once: $role, $name");
	}
}
$idle->quit;

# ---------------------------------------------------------------- long chains

sql(q{
	set session_replication_role = replica;
	insert into gov_entities (owner_id, id, type_id, parent_id, archived_at)
	select 'deep', format('c%s-%s', c, n), 'team', case when n > 1 then format('c%s-%s', c, n - 1) end, case when n % 7 = 0 then now() end
	from generate_series(1, 156) c, generate_series(1, 64) n;
	insert into gov_assignments (id, owner_id, entity_id, capability_id, usage_limit, counter_id)
	select gen_random_uuid(), owner_id, id, 'tokens', 1000, nextval('gov_counter_seq') from gov_entities where owner_id = 'deep'});
is( sql(q{set statement_timeout = '20s'; select count(*), max(depth), sum(cardinality(path)) from gov_tree('deep'); select count(*), max(depth) from gov_tree('deep', '{tokens}');
		select count(*) = 1 + 2 * 55 * 156 and max(length(l)) <= 98 from gov_report('deep') l}),
	"8580|54|240240\n8580|54\nt", '156 chains of 64, with archived entities');
is( sql(q{select count(*) from (select parent_id, coalesce(path[cardinality(path) - 1], '') <> coalesce(parent_id, '') as is_wrong from gov_tree('deep')) t where is_wrong}),
	'0', 'a parent is the one before in the path');

$node->stop;
done_testing();
