# The cache's memory: what an entity takes, that a load evicts about as much as it brings in, and keeps what is used.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('cache');

sub fact
{
	my ($name) = @_;

	return $node->safe_psql('postgres', "select value from gov_engine_facts() where name = '$name'");
}

# ---------------------------------------------------------------- what an entity takes

# Ten owners with 20 teams of 20 agents each, all ids of 36 characters, one budget on each of them.
$node->safe_psql('postgres', q{
	insert into gov_entity_types (id) values ('org'), ('team'), ('agent');
	insert into gov_capabilities (id) values ('tokens');
	create table owner as select gen_random_uuid()::text as id from generate_series(1, 10);
	insert into gov_entities (owner_id, id, type_id) select id, gen_random_uuid(), 'org' from owner;
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select e.owner_id, gen_random_uuid(), 'team', e.id from gov_entities e, generate_series(1, 20) where e.type_id = 'org';
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select e.owner_id, gen_random_uuid(), 'agent', e.id from gov_entities e, generate_series(1, 20) where e.type_id = 'team';
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
	select owner_id, id, 'tokens', 1000, 'P1M' from gov_entities;
	analyze});
is(fact('cache_used_bytes'), '0', 'an empty cache has nothing in use');

my $load = q{select count(gov_allowed(owner_id, 'tokens', 1, null, array[id])) from gov_entities};
my $entities = $node->safe_psql('postgres', $load);

sub about
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got, $expected, $label) = @_;

	ok(abs($got - $expected) <= 0.03 * $expected, $label) or diag "$got, and $expected was expected";
	return;
}

my $used = fact('cache_used_bytes');
cmp_ok($used / $entities, '<=', 320, sprintf('an entity with one budget takes %.1f bytes', $used / $entities));
about($node->safe_psql('postgres', 'select gov_cache_needed()'), $used, 'gov_cache_needed() says how much all take');
cmp_ok($node->safe_psql('postgres', 'select sum(gov_cache_needed(id)) from owner'), '>=', $used, 'and of each owner');

# Other sizes: names, scopes, thresholds, time zones, many budgets, none.
$node->safe_psql('postgres', q{
	insert into gov_capabilities (id) select 'c' || n from generate_series(1, 200) n;
	insert into gov_entities (owner_id, id, type_id)
	select 'odd', repeat(chr(64 + n % 26), 1 + n % 255), 'org' from generate_series(1, 300) n on conflict do nothing;
	insert into gov_entities (owner_id, id, type_id) values ('odd', 'a-scope', 'org');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name, scope_entity_ids, timezone, alert_thresholds, cadence)
	select 'odd', id, 'tokens', 100, repeat('x', length(id) % 50), array[id, 'a-scope'], 'Europe/Berlin', '{50,80,100}', 'PT5M'
	from gov_entities where owner_id = 'odd' and length(id) % 3 > 0 and id <> 'a-scope';
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
	select 'odd', id, 'c' || n, 100 from gov_entities, generate_series(1, 200) n where owner_id = 'odd' and length(id) in (5, 8)});
$node->safe_psql('postgres', 'select gov_drop_cache()');
is(fact('cache_used_bytes'), '0', 'nothing is left in use when all was dropped');
$node->safe_psql('postgres', $load);
about($node->safe_psql('postgres', 'select gov_cache_needed()'), fact('cache_used_bytes'), 'and of entities of all sizes');

# What few have: blocks, call limits, boosts, those that have ended left out.
$node->safe_psql('postgres', q{
	update gov_entities set blocked_at = now(), blocked_until = case when length(id) % 2 = 0 then now() + interval '1 day' end where owner_id = 'odd';
	update gov_assignments set call_limit = 10 where owner_id = 'odd' and length(entity_id) % 2 = 0;
	insert into gov_boosts (owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_from, valid_until)
	select a.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name, 1, b.at, case when n < 8 then b.at + interval '1 hour' end
	from gov_assignments a, generate_series(0, 11) n, lateral (select now() + (n % 6 - 2) * interval '1 day' as at) b where a.owner_id = 'odd';
	select gov_drop_cache()});
$node->safe_psql('postgres', $load);
about($node->safe_psql('postgres', 'select gov_cache_needed()'), fact('cache_used_bytes'), 'and of blocks, boosts and call limits');

# Pools: with no grant and with many, those that are used up left out.
$node->safe_psql('postgres', q{
	insert into gov_assignments (owner_id, entity_id, capability_id, is_pool, call_limit, alert_thresholds)
	select 'odd', id, 'c200', true, case when length(id) % 2 = 0 then 10 end, case when length(id) % 3 = 0 then '{50,80}'::numeric[] end
	from gov_entities where owner_id = 'odd' and length(id) between 10 and 40;
	insert into gov_grants (owner_id, assignment_id, amount, expires_at)
	select a.owner_id, a.id, 5, case when n % 2 = 0 then now() + interval '1 day' end from gov_assignments a, generate_series(1, length(a.entity_id) - 10) n where a.owner_id = 'odd' and a.is_pool;
	select gov_drop_cache()});
$node->safe_psql('postgres', $load);
my $with_pools = fact('cache_used_bytes');
about($node->safe_psql('postgres', 'select gov_cache_needed()'), $with_pools, 'and of pools');
my ($needed, $grants) = split /\|/, $node->safe_psql('postgres', q{select gov_cache_needed('odd'), (select count(*) from gov_grants)});
$node->safe_psql('postgres', q{delete from gov_assignments where owner_id = 'odd' and is_pool});
my $of_grant = ($needed - $node->safe_psql('postgres', q{select gov_cache_needed('odd')})) / $grants;
ok($of_grant > 225 && $of_grant < 320, sprintf('a grant takes %.1f bytes, with its part of the pool', $of_grant));

# Budgets by defaults, which an entity has there whether it has used them or not; some have an assignment in their place.
$node->safe_psql('postgres', q{
	insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence, timezone, alert_thresholds)
	values (null, 'agent', 'c1', 100, 'P1M', 'UTC', null), ((select min(id) from owner), 'agent', 'c1', 7, 'P1D', 'Asia/Tokyo', '{50,90}'), (null, 'org', 'c1', null, null, 'UTC', null);
	select gov_drop_cache()});
$node->safe_psql('postgres', $load);
about($node->safe_psql('postgres', 'select gov_cache_needed()'), fact('cache_used_bytes'), 'and of budgets by defaults');
$node->safe_psql('postgres', 'delete from gov_default_assignments');

# ---------------------------------------------------------------- what a load evicts

$node->append_conf('postgresql.conf', "governance.cache_size = '4MB'");
$node->restart;

# Short ids and ids of a kilobyte, one budget and two hundred.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id)
	select 'mixed', case n % 2 when 0 then 'e' || n else n || '-' || repeat('🐘', 250) end, 'agent' from generate_series(1, 5000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
	select 'mixed', id, 'tokens', 1000 from gov_entities where owner_id = 'mixed';
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
	select 'mixed', 'e' || n * 200, 'c' || m, 1000 from generate_series(1, 25) n, generate_series(1, 200) m;
	create table seen (n int, evicted int, used bigint, is_large bool);
	analyze});

# Go through them twice, and note of each call how many it evicted. A large one is 34 kB, and may evict three times that.
$node->safe_psql('postgres', q{
	do $$
	declare
		entity record;
		n int := 0;
		last numeric := 0;
		evicted numeric;
		used numeric;
	begin
		for entity in
			select e.id, e.id ~ '^e[0-9]*(200|400|600|800|000)$' as is_large
			from gov_entities e, generate_series(1, 2) r where owner_id = 'mixed' order by r, md5(e.id)
		loop
			perform gov_allowed('mixed', 'tokens', 1, null, array[entity.id]);
			select max(value) filter (where name = 'cache_evictions'), max(value) filter (where name = 'cache_used_bytes')
			into evicted, used from gov_engine_facts();
			insert into seen values (n, evicted - last, used, entity.is_large);
			n := n + 1;
			last := evicted;
		end loop;
	end $$});
cmp_ok($node->safe_psql('postgres', 'select sum(evicted) from seen'), '>', 4000, 'the cache is smaller than what is used');
cmp_ok($node->safe_psql('postgres', 'select max(evicted) from seen where not is_large'), '<=', 24, 'what a call evicts for a small entity');
cmp_ok($node->safe_psql('postgres', 'select max(evicted) from seen where is_large'), '<=', 3 * 35000 / 300, 'and for one of two hundred budgets');
cmp_ok($node->safe_psql('postgres', 'select min(used) from seen where n > (select min(n) from seen where evicted > 0)'),
	'>=', 0.75 * 4 * 1024 * 1024, 'a cache that has been full stays so');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'and its counts are those of the tables');

# ---------------------------------------------------------------- what it keeps

# Ten times what fits: entities of eight kilobytes each, drawn by Zipf's law.
use constant ENTITIES => 3500;
use constant CALLS => 10000;

$node->safe_psql('postgres', qq{
	insert into gov_entities (owner_id, id, type_id) select 'zipf', n || '-' || repeat('🐘', 250), 'org' from generate_series(1, 8) n;
	insert into gov_entities (owner_id, id, type_id) select 'zipf', 'z' || n, 'agent' from generate_series(1, ${\ENTITIES}) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, scope_entity_ids)
	select 'zipf', 'z' || n, 'tokens', 1000, (select array_agg(id) from gov_entities where owner_id = 'zipf' and type_id = 'org')
	from generate_series(1, ${\ENTITIES}) n;
	analyze});

srand(1);
my @weights = map { 1 / $_ } 1 .. ENTITIES;
my $whole = sum(@weights);
my @upto;
my $so_far = 0;
push @upto, $so_far += $_ / $whole foreach @weights;

sub draw
{
	my $x = rand();
	my ($low, $high) = (0, $#upto);

	while ($low < $high)
	{
		my $middle = int(($low + $high) / 2);

		if ($upto[$middle] < $x) { $low = $middle + 1 }
		else { $high = $middle }
	}
	return $low + 1;
}

my @calls = map { draw() } 1 .. CALLS;
my $numbers = join ',', @calls;
my $loads = fact('cache_loads');
$node->safe_psql('postgres',
	"select count(gov_allowed('zipf', 'tokens', 1, null, array['z' || n])) from unnest('{$numbers}'::int[]) n");
$loads = fact('cache_loads') - $loads;

# The same calls on a cache that drops what was used least recently.
my $fit = $node->safe_psql('postgres', "select count(*) from gov_cached_counters() c join gov_assignments a using (counter_id) where a.owner_id = 'zipf'");
my (%last_call, $lru_loads);
foreach my $i (0 .. $#calls)
{
	if (!exists $last_call{ $calls[$i] })
	{
		$lru_loads++;
		if (keys %last_call >= $fit)
		{
			my ($oldest) = sort { $last_call{$a} <=> $last_call{$b} } keys %last_call;
			delete $last_call{$oldest};
		}
	}
	$last_call{ $calls[$i] } = $i;
}
cmp_ok($fit, '<', ENTITIES / 8, 'a tenth of the entities fits');
cmp_ok(CALLS - $loads, '>=', 0.95 * (CALLS - $lru_loads),
	sprintf('hits: %.1f %%, with the least recently used %.1f %%', 100 - 100 * $loads / CALLS, 100 - 100 * $lru_loads / CALLS));

# An entity of a thousand budgets comes in, for room for itself.
my $evictions = fact('cache_evictions');
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('wide', 'wide', 'agent');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name)
	select 'wide', 'wide', 'c' || m, 1000, 'n' || n from generate_series(1, 5) m, generate_series(1, 200) n});
is($node->safe_psql('postgres', q{select gov_allowed('wide', 'c1', 1, null, '{wide}')}), 't', 'an entity of a thousand budgets is loaded');
cmp_ok(fact('cache_evictions') - $evictions, '<=', 3 * 180000 / 8000, 'and evicts three times its size at most');
$node->stop;
done_testing();
