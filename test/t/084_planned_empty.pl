# Statements planned when the tables were empty, and run by the same session when they are not: what an alert costs does not grow
# with the alerts that there are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('planned_empty', conf => "autovacuum = off\ngovernance.rollup_interval = '1h'");
my $entities = 60;

$node->safe_psql('postgres', qq{
	insert into gov_entity_types (id) values ('org');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) select 'acme', 'e' || n, 'org' from generate_series(1, $entities) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, enforcement, alert_thresholds)
	select 'acme', 'e' || n, 'tokens', 100, 'soft', '{1,2,3,4,5,6,7,8,9,10}' from generate_series(1, $entities) n;
});
$node->safe_psql('postgres', 'vacuum analyze');
$node->safe_psql('postgres', qq{
	do \$\$ begin
		for n in 1 .. $entities loop
			perform gov_ingest('acme', 'tokens', 10, null, array['e' || n]);
			commit;
			perform gov_maintain();
			commit;
		end loop;
	end \$\$
});
is($node->safe_psql('postgres', 'select count(*) from gov_alerts'), 10 * $entities, 'every alert is raised');
cmp_ok($node->safe_psql('postgres', q{select idx_tup_read from pg_stat_user_indexes where indexrelname = 'gov_alerts_key'}),
	'<', 20 * $entities, 'and none of them has read those that were there');

$node->stop;
done_testing();
