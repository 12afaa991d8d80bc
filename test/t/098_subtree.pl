# What gov_tree and gov_report say of a part is what they say of the same entities in the whole, though they read the part alone: for
# every entity of random trees, with archived ones, scopes, holds, usage that is rolled up and a tail that is not.
#
#     SEED=n prove ...     runs that seed and no other

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovRandom;
use GovTest;

my $entities = 30;
my @seeds = defined $ENV{SEED} ? ($ENV{SEED}) : (1 .. 2);
my $node = gov_node('subtree', conf => "governance.rollup_interval = '1h'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
insert into gov_entity_types (id) values ('unit'), ('thing');
insert into gov_capabilities (id) values ('tokens'), ('calls');

-- The rows in which a part and the same of the whole differ, over every entity of an owner, and how many were compared.
create function differing(owner text, out compared bigint, out wrong text)
language sql
as $$
    with recursive below (top, id) as
    (
        select e.id, e.id from gov_entities e where e.owner_id = owner
        union all
        select b.top, e.id from below b join gov_entities e on e.owner_id = owner and e.parent_id = b.id
    ),
    asked (capabilities) as (values (null::text[]), ('{tokens}'), ('{tokens,calls}')),
    whole as materialized
    (
        select a.capabilities, to_jsonb(t) as item, t.entity_id, t.n
        from asked a
        cross join lateral gov_tree(owner, a.capabilities) with ordinality t
            (entity_id, display_name, type_id, parent_id, capability_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage,
             remaining, allocated, utilization, cadence, usage_period_start, usage_period_end, enforcement, locked, depth, path, base_limit, blocked_at,
             blocked_until, blocked_reason, source, default_id, carried, n)
    ),
    expected as
    (
        select b.top, w.capabilities, jsonb_agg(w.item - 'n' order by w.n) as items, count(*) as items_count
        from below b
        join whole w on w.entity_id = b.id
        group by b.top, w.capabilities
    ),
    told as
    (
        select e.id as top, a.capabilities, jsonb_agg(to_jsonb(t) - 'n' order by t.n) as items
        from gov_entities e
        cross join asked a
        cross join lateral gov_tree(owner, a.capabilities, e.id) with ordinality t
            (entity_id, display_name, type_id, parent_id, capability_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage,
             remaining, allocated, utilization, cadence, usage_period_start, usage_period_end, enforcement, locked, depth, path, base_limit, blocked_at,
             blocked_until, blocked_reason, source, default_id, carried, n)
        where e.owner_id = owner
        group by e.id, a.capabilities
    )
    select
        sum(x.items_count),
        string_agg(format('under %s, %s', coalesce(x.top, t.top), coalesce(x.capabilities, t.capabilities)), '; ') filter (where x.items is distinct from t.items)
    from expected x
    full join told t on t.top = x.top and t.capabilities is not distinct from x.capabilities and t.top is not null
$$;
SQL

sub make_owner
{
	my ($owner) = @_;
	my (@rows, @budgets);

	foreach my $n (0 .. $entities - 1)
	{
		my $parent = $n > 0 && chance(0.9) ? "'e" . int(rand($n)) . "'" : 'null';

		push @rows, "('$owner', 'e$n', '" . one_of('unit', 'thing') . "', $parent, " . (chance(0.2) ? 'now()' : 'null') . ', '
		  . one_of('null, null', 'null, null', 'now(), null', "now(), '2000-01-01'", "now(), '2999-01-01'") . ')';
		push @budgets, "('$owner', 'e$n', '" . one_of('tokens', 'calls') . "', '" . (chance(0.2) ? '{e' . int(rand($entities)) . '}' : '{}') . "', '"
		  . one_of('', '', 'extra') . "', " . one_of('null', 0, 5, 1000) . ', ' . one_of('null', "'P1M'", "'PT1H'") . ')'
		  foreach 1 .. int(rand(4));
	}
	# with triggers, parents come first
	sql("insert into gov_entities (owner_id, id, type_id, parent_id, archived_at, blocked_at, blocked_until) values $_") foreach @rows;
	sql("insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit, cadence)
		values ('$owner', 'unit', 'tokens', '', 7, 'P1M'), ('$owner', 'unit', 'calls', 'each', null, null), ('$owner', 'thing', 'tokens', 'extra', 0, 'PT1H')");
	sql('insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence) values ' . join(",\n", @budgets)
		  . ' on conflict do nothing');
	return;
}

sub use_some
{
	my ($owner) = @_;

	sql(join ";\n", map {
		my ($capability, $entity, $amount) = (one_of('tokens', 'calls'), 'e' . int(rand($entities)), 1 + int(rand(9)));
		chance(0.3)
		  ? "select is_granted from gov_reserve('$owner', '$capability', $amount, null, '{$entity}')"
		  : "select event_id from gov_ingest('$owner', '$capability', $amount, null, '{$entity,e" . int(rand($entities)) . "}')"
	} 1 .. 60);
	return;
}

sub parts_are_right
{
	my ($owner, $when) = @_;
	my ($compared, $wrong) = split /\|/, sql("select * from differing('$owner')");

	is($wrong, '', "$when: every part is as in the whole");
	cmp_ok($compared, '>', 100, "$when: $compared rows");
	is(sql(qq{
			with whole as (select b from _gov_budgets_at('$owner', gov_now()) b),
			part as (select b from gov_entities e, _gov_budgets_at(e.owner_id, gov_now(), array[e.id]) b where e.owner_id = '$owner')
			select count(*) > 20, (select count(*) from (table whole except all table part union all (table part except all table whole)) x) from whole}),
		't|0', "$when: entity by entity the budgets are as in the whole");
	is(sql("select string_agg(l, E'\\n') from gov_report('$owner', max_depth => 1000) l"), sql("select string_agg(l, E'\\n') from gov_report('$owner') l"),
		"$when: gov_report of as many levels as there are is that of all");
	return;
}

foreach my $seed (@seeds)
{
	my $owner = "owner-$seed";

	srand($seed);
	make_owner($owner);
	use_some($owner);
	gov_roll_up($node, 'postgres');
	parts_are_right($owner, "seed $seed, rolled up");
	my $idle = $node->background_psql('postgres');
	$idle->query_safe("begin; select gov_ingest('idle', 'tokens', 1)");
	use_some($owner);
	parts_are_right($owner, "seed $seed, with a tail");
	$idle->query_safe('rollback');
	$idle->quit;
}

$node->stop;
done_testing();
