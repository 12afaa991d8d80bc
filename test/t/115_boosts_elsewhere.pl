# Boosts where little is as usual: in the smallest cache, on a standby, on a subscriber that applies the catalog, and where the
# engine's clock is shifted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('primary', init => { allows_streaming => 'logical' }, conf => "governance.cache_size = '1MB'\ngovernance.rollup_interval = '200ms'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
insert into gov_entity_types (id) values ('user');
insert into gov_capabilities (id) values ('tokens'), ('calls');
insert into gov_entities (owner_id, id, type_id) values ('o', 'ann', 'user'), ('o', 'wide', 'user');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('o', 'ann', 'tokens', 10);
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit) select 'o', 'wide', c, n, 10 from unnest('{tokens,calls}'::text[]) c, generate_series(1, 256) n;
set session_replication_role = replica;
insert into gov_boosts (owner_id, entity_id, capability_id, name, amount, valid_from, valid_until)
select 'o', 'wide', c, n, 1, now() + interval '1 hour' * k, now() + interval '1 day' * (k + 1)
from unnest('{tokens,calls}'::text[]) c, generate_series(1, 256) n, generate_series(1, 16) k;
SQL

my $ask = q{select is_granted, denied_reason, remaining from gov_check('o', 'tokens', 15, null, '{ann}')};
my $show = q{select usage_limit from gov_budgets where entity_id = 'ann'};

# ---------------------------------------------------------------- the smallest cache

is(sql(q{select is_granted, remaining from gov_consume('o', 'tokens', 3, null, '{wide}')}), 't|7', 'an entity that has more boosts than the cache has room');
is(sql(q{select is_granted, remaining from gov_consume('o', 'tokens', 8, null, '{wide}')}), 'f|7', 'counts');
is(sql('select count(*) from gov_verify()'), 0, 'as the ledger says');

# ---------------------------------------------------------------- a standby and a subscriber

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', $ask), 'f|RequestedUsageExceedingLimit|10', 'the standby has no boost');

my $subscriber = gov_node('subscriber', conf => "governance.rollup_interval = '1h'");
my $connstr = $node->connstr . ' dbname=postgres';
sql('create publication catalog for table gov_entity_types, gov_capabilities, gov_entities, gov_assignments, gov_boosts');
$subscriber->safe_psql('postgres', "create subscription catalog connection '$connstr' publication catalog");
$subscriber->wait_for_subscription_sync($node, 'catalog');
is($subscriber->safe_psql('postgres', $ask), 'f|RequestedUsageExceedingLimit|10', 'nor has the subscriber');

my $boost = sql(q{select gov_boost('o', 'ann', 'tokens', 10)});
my %at = (standby => $standby, subscriber => $subscriber);

sub everywhere
{
	my ($expected, $what) = @_;

	$node->wait_for_catchup($standby);
	$node->wait_for_catchup('catalog');
	is($at{$_}->safe_psql('postgres', $ask), $expected, "$what, on the $_") foreach sort keys %at;
	return;
}

everywhere('t||20', 'a boost arrives');
is($at{$_}->safe_psql('postgres', $show), '20', "and is shown, on the $_") foreach sort keys %at;
sql("update gov_boosts set amount = 6 where id = '$boost'");
everywhere('t||16', 'it is changed');
sql(q{select gov_block('o', 'ann')});
everywhere('f|Blocked|16', 'a block arrives');
sql(q{select gov_unblock('o', 'ann')});
sql(q{update gov_assignments set usage_limit = null where entity_id = 'ann'});
sql(q{update gov_assignments set usage_limit = 10 where entity_id = 'ann'});
everywhere('f|RequestedUsageExceedingLimit|10', 'it ends with the limit');
sql(q{select gov_boost('o', 'ann', 'tokens', 10)});
everywhere('t||20', 'another arrives');
sql('truncate gov_boosts');
everywhere('f|RequestedUsageExceedingLimit|10', 'none is left');
$standby->stop;
$subscriber->safe_psql('postgres', 'drop subscription catalog');
$subscriber->stop;

# ---------------------------------------------------------------- a shifted clock

sub shift_clock
{
	my ($by) = @_;

	gov_set($node, 'governance.clock_offset', $by);
	return;
}

sql(q{select gov_boost('o', 'ann', 'tokens', 10, until => gov_now() + interval '1 hour')});
is(sql($ask), 't||20', 'a boost for an hour');
shift_clock('59min');
is(sql($ask), 't||20', 'goes on until the hour is over');
shift_clock('61min');
is(sql($ask), 'f|RequestedUsageExceedingLimit|10', 'and no longer');
is(sql($show), '10', 'as is shown');
is(sql(q{select count(*) from gov_exceptions where exception = 'boosted'}), '0', 'and is nothing out of the ordinary any more');
shift_clock('-86400s');
is(sql(q{select gov_boost('o', 'ann', 'tokens', 10, until => gov_now() + interval '1 hour', valid_from => gov_now()) is not null}), 't', 'one begins by the clock of the engine');
is(sql($ask), 't||20', 'and is in force');
sql(q{update gov_assignments set usage_limit = null where entity_id = 'ann'});
is(sql(q{select count(*) from gov_boosts where entity_id = 'ann'}), '1', 'where the limit is taken away, those that are to begin go, and the others stay as what has ended');
is(sql('select count(*) from gov_verify()'), 0, 'the engine agrees with the ledger');

done_testing();
