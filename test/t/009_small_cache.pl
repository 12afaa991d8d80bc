# A cache smaller than what is used: every answer is still right, at the price of loads and evictions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant AGENTS => 2000;

my $node = gov_node('small');
my $minimum = $node->safe_psql('postgres',
	"select min_val || coalesce(unit, '') from pg_settings where name = 'governance.cache_size'");
$node->append_conf('postgresql.conf', "governance.cache_size = '$minimum'");
$node->restart;

# Agent n may use 1,000 + n, and has five more budgets with a scope and a long name, so that a node is no trifle.
gov_build($node, 'postgres');
$node->safe_psql('postgres', qq{
	insert into gov_entity_types (id, attribution_keys) values ('model', '{model}');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'gpt', 'model');
	insert into gov_entities (owner_id, id, type_id, parent_id, display_name)
	select 'acme', 'bot-' || n, 'agent', 'user-1', repeat('x', 200) from generate_series(1, ${\AGENTS}) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
	select 'acme', 'bot-' || n, 'tokens', 1000 + n from generate_series(1, ${\AGENTS}) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, scope_entity_ids, name)
	select 'acme', 'bot-' || n, 'tokens', 50, '{gpt}', m || repeat(' of a model', 20) from generate_series(1, ${\AGENTS}) n, generate_series(1, 5) m;
	analyze});

# The agents whose answer is not limit - used (for a call with the model: the 50 of its scope).
sub wrong_answers
{
	my ($used) = @_;

	return $node->safe_psql('postgres', qq{
		select count(*) from generate_series(1, ${\AGENTS}) n
		cross join lateral gov_check('acme', 'tokens', 1, null, array['bot-' || n]) plain
		cross join lateral gov_check('acme', 'tokens', 1, '{"model": "gpt"}', array['bot-' || n]) scoped
		where plain.remaining is distinct from 1000 + n - ($used) or scoped.remaining is distinct from 50});
}

foreach my $round (1, 2)
{
	# A transaction keeps what it has charged in the cache, so take small ones.
	$node->safe_psql('postgres', qq{
		do \$\$
		begin
			for n in 1 .. ${\AGENTS} loop
				perform gov_ingest('acme', 'tokens', n % 7, null, array['bot-' || n]);
				if n % 100 = 0 then
					commit;
				end if;
			end loop;
		end \$\$});
	is(wrong_answers("$round * (n % 7)"), '0', "answers after round $round");
}
cmp_ok(gov_stat($node, 'postgres', 'cache_evictions'),
	'>', 1000, 'nodes were evicted');

# A transaction that has charged more nodes than are ever evictable at once: pinned ones stay, or the call says it cannot.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('begin');
my $answer = gov_ask($session, qq{
	\\set VERBOSITY verbose
	select count(i) from generate_series(1, ${\AGENTS}) n
	cross join lateral gov_ingest('acme', 'tokens', 1, null, array['bot-' || n]) i});
like($answer, qr/^${\AGENTS}$|ERROR:  53400:/,
	'a charge of every node at once succeeds or raises 53400');
$session->query('rollback');
is(wrong_answers('2 * (n % 7)'), '0', 'and its rollback leaves no trace');

# What a transaction has in flight stays in the cache, however much goes through it meanwhile.
$session->query_safe(
	"begin; select gov_ingest('acme', 'tokens', 500, null, array['bot-1'])");
my $evictions = gov_stat($node, 'postgres', 'cache_evictions');
is(wrong_answers('2 * (n % 7) + case n when 1 then 500 else 0 end'),
	'0', 'what is in flight counts');
cmp_ok(gov_stat($node, 'postgres', 'cache_evictions') - $evictions,
	'>', 1000, 'beside evictions');
is(wrong_answers('2 * (n % 7) + case n when 1 then 500 else 0 end'),
	'0', 'and still counts after them');
$session->query_safe('rollback');
is(wrong_answers('2 * (n % 7)'), '0', 'until it is rolled back');

# Ids that are no entity do not push out what is.
$node->safe_psql('postgres', q{
	select count(gov_allowed('acme', 'tokens', 1, null, array['nobody-' || n])) from generate_series(1, 5000) n});
is(wrong_answers('2 * (n % 7)'), '0', 'answers after five thousand unknown ids');

# Several clients at random.
{
	my $dir = PostgreSQL::Test::Utils::tempdir;

	$node->pgbench(
		'-n -M prepared -c 6 -T 4',
		0,
		[qr/number of failed transactions: 0/],
		[],
		'six clients on a small cache',
		{
			'small_cache' => q{
				\set agent random(1, 2000)
				select event_id from gov_ingest('acme', 'tokens', 1, '{"model": "gpt"}', array['bot-' || :agent::text]);
				select gov_allowed('acme', 'tokens', 1, null, array['bot-' || :agent::text]);
			}
		},
		'postgres');
}
is( $node->safe_psql('postgres', qq{
		with ledger as (
		  select u.id, sum(amount) as plain, coalesce(sum(amount) filter (where 'gpt' = any (entity_ids)), 0) as scoped
		  from gov_events, unnest(entity_ids) u (id) group by 1)
		select count(*) from generate_series(5, ${\AGENTS}, 5) n
		join ledger l on l.id = 'bot-' || n
		cross join lateral gov_headroom('acme', 'tokens', 0, '{"model": "gpt"}', array['bot-' || n]) h
		where h.entity_id = l.id and h.current_usage <> case h.name when '' then l.plain else l.scoped end}),
	'0', 'every fifth agent has what the ledger says');
gov_is_exact($node, 'postgres', 'the small cache');
$session->quit;
$node->stop;
done_testing();
