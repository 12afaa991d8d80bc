# Boosts in great numbers cost what is in force: neither those that have ended, nor those of other budgets. An entity with thousands
# of budgets that are all boosted is loaded, and an owner with thousands of boosts is listed, in a moment.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovGrowth;
use GovTest;

my $node = gov_node('boosts', conf => "governance.rollup_interval = '1h'\nautovacuum = off");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Rows come as by replication, without the triggers that judge each: they are not what is measured.
sql(<<'SQL');
insert into gov_entity_types (id) values ('user');
insert into gov_capabilities (id) select 'c' || n from generate_series(1, 8) n;
insert into gov_entities (owner_id, id, type_id) values ('o', 'all', 'user');
insert into gov_entities (owner_id, id, type_id, parent_id) select 'o', 'e' || n, 'user', 'all' from generate_series(1, 10000) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'o', 'e' || n, 'c1', 10 from generate_series(1, 10000) n;
insert into gov_entities (owner_id, id, type_id) values ('wide', 'e', 'user');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit)
select 'wide', 'e', 'c' || c, 'n' || n, 10 from generate_series(1, 8) c, generate_series(1, 256) n;
SQL

# ---------------------------------------------------------------- many that have ended

my $session = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($session, q{select count(*) from gov_budgets where owner_id = 'o' and entity_id = 'e7'});
gov_ask($session, q{select gov_boost('o', 'e7', 'c1', 5)}) foreach 1 .. 3;

my %asked = (
	'gov_boost' => q{insert into gov_boosts (owner_id, entity_id, capability_id, amount, valid_until) values ('o', 'e7', 'c1', 1, '2099-01-01')},
	'gov_budgets of one entity' => q{select * from gov_budgets where owner_id = 'o' and entity_id = 'e7'},
	'a call' => q{select * from gov_check('o', 'c1', 1, null, '{e7}')},
	'a list of a part' => q{select gov_query('o', '{c1}', under_entity_id => 'e7')});
my %few;
foreach my $what (sort keys %asked)
{
	gov_cost($session, $asked{$what}) foreach 1 .. 6;
	$few{$what} = gov_cost($session, $asked{$what}, before => 'select gov_refresh()')->{blocks};
}

sql(<<'SQL');
set session_replication_role = replica;
insert into gov_boosts (owner_id, entity_id, capability_id, amount, valid_from, valid_until)
select 'o', 'e7', 'c1', 1, '2020-01-01', '2020-02-01' from generate_series(1, 10000);
analyze gov_boosts;
SQL
foreach my $what (sort keys %asked)
{
	gov_cost($session, $asked{$what});
	my $blocks = gov_cost($session, $asked{$what}, before => 'select gov_refresh()')->{blocks};
	cmp_ok($blocks, '<', $few{$what} + 40, "$what reads no boosts that have ended: $blocks blocks, $few{$what} without them");
}
$session->quit;

# ---------------------------------------------------------------- many that have not

sql(<<'SQL');
set session_replication_role = replica;
insert into gov_boosts (owner_id, entity_id, capability_id, amount, valid_until)
select 'o', 'e' || n, 'c1', 1, '2099-01-01' from generate_series(1, 10000) n;
insert into gov_boosts (owner_id, entity_id, capability_id, name, amount, valid_from, valid_until)
select 'wide', 'e', 'c' || c, 'n' || n, 1, now() + interval '1 hour' * k, now() + interval '1 day' * (k + 1)
from generate_series(1, 8) c, generate_series(1, 256) n, generate_series(1, 16) k;
SQL
my $in_time = "set statement_timeout = '8s';";
is(sql("$in_time select is_granted, retry_at is null from gov_check('wide', 'c1', 20, null, '{e}')"), 'f|f', 'thousands of boosts of one entity are loaded');
is(sql("$in_time select length(gov_query('o', '{c1}', page_size => 5)::text) > 100"), 't', 'budgets of an owner with thousands of boosts are listed');
is(sql("$in_time select jsonb_path_query_array(gov_query('o', '{c1}', under_entity_id => 'e8'), '\$.data[*].usageLimit')"), '[11]', 'and of a part');
is(sql("select count(*) from gov_verify()"), 0, 'the engine agrees with the ledger');

done_testing();
