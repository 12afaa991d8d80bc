# Cycles among entities, forced in with triggers disabled: whatever walks parents says so and names them, and gives no wrong row.
# Other owners, and entities of the same owner beside the cycle, are answered as before; once it is cut all is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use GovTest;

my $node = gov_node('cycle');
my $named = qr/Each of the entities "[abc]", "[abc]", "[abc]" is below the next one/;

# What owner acme has: a tree of its own, and below c, d. Then a is put below c, which makes a cycle of a, b and c.
$node->safe_psql('postgres', q{
	insert into gov_entity_types (id, attribution_keys) values ('unit', '{unitId}');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select o, e, 'unit', p
	from unnest('{acme,other,archived}'::text[]) o,
		(values ('a', null), ('b', 'a'), ('c', 'b'), ('d', 'c'), ('x', null), ('y', 'x')) t (e, p);
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
	select owner_id, id, 'tokens', 1000000 from gov_entities});

my $force = q{set session_replication_role = replica; update gov_entities set parent_id = 'c' where id = 'a' and owner_id = };
my $cut = q{set session_replication_role = replica; update gov_entities set parent_id = null where id = 'a' and owner_id = };

sub calls
{
	my ($entity) = @_;
	return (
		"gov_check('acme', 'tokens', 1, null, '{$entity}')",
		"gov_check('acme', 'tokens', 1, '{\"unitId\": \"$entity\"}')",
		"gov_allowed('acme', 'tokens', 1, null, '{$entity}')",
		"gov_headroom('acme', 'tokens', 1, null, '{$entity}')",
		"gov_ingest('acme', 'tokens', 1, null, '{$entity}')",
		"gov_consume('acme', 'tokens', 1, null, '{y,$entity}')",
		"gov_require('acme', 'tokens', 1, null, '{$entity}')",
		"gov_reserve('acme', 'tokens', 1, null, '{$entity}')");
}

my @reports = (
	"gov_query('acme')", "gov_query('acme', '{tokens}')", "gov_tree('acme')", "gov_tree('acme', '{tokens}')",
	"gov_tree('acme', under_entity_id => 'b')", "gov_tree('acme', '{tokens}', 'd')", "gov_report('acme')", "gov_report('acme', under_entity_id => 'd')");

sub refuses_all
{
	my ($label) = @_;

	foreach my $entity (qw(a b c d))
	{
		gov_raises($node, 'postgres', "select * from $_", '23514', "$label: $_", $named) foreach calls($entity);
	}
	gov_raises($node, 'postgres', "set governance.use_cache = off; select * from gov_check('acme', 'tokens', 1, null, '{d}')",
		'23514', "$label: from the tables", $named);
	gov_raises($node, 'postgres', "select * from $_", '23514', "$label: $_", $named) foreach @reports;
	is($node->safe_psql('postgres', q{select position, event_id is not null, error
		from gov_ingest_many('acme', '[{"capabilityId": "tokens", "entityIds": ["y"]}, {"capabilityId": "tokens", "entityIds": ["d"]}]')}),
		qq(1|t|\n2|f|entity "c" is below itself), "$label: one of many is the item's fault");
	is($node->safe_psql('postgres', q{select is_granted from gov_check('acme', 'tokens', 1, null, '{y}')}), 't', "$label: what is beside it is answered");
	is($node->safe_psql('postgres', q{select string_agg(entity_id, ' ') from gov_tree('acme', '{tokens}', 'x')}), 'x y', "$label: and shown");
	is($node->safe_psql('postgres', q{select count(*) from gov_tree('other', '{tokens}')}), 6, "$label: and another owner");
	return;
}

# Hot nodes that the change makes stale, and then cold ones.
$node->safe_psql('postgres', 'select gov_ingest(o, \'tokens\', 1, null, array[e]) from unnest(\'{acme,other}\'::text[]) o, unnest(\'{a,b,c,d,y}\'::text[]) e');
$node->safe_psql('postgres', "$force 'acme'");
refuses_all('known');
$node->safe_psql('postgres', 'select gov_refresh()');
refuses_all('read anew');

# The triggers, which see the cycle too, let nothing in below it, and what is beside it go on.
gov_raises($node, 'postgres', q{insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'e', 'unit', 'd')}, '23514', 'nothing new below it', qr/"e"/);
$node->safe_psql('postgres', q{insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'z', 'unit', 'y')});

# In a transaction that sees its own rows: it makes a cycle of its own, and takes it back.
is($node->safe_psql('postgres', q{
	begin;
	set local session_replication_role = replica;
	update gov_entities set parent_id = 'y' where owner_id = 'other' and id = 'x';
	savepoint s;
	\set ON_ERROR_STOP 0
	\set VERBOSITY sqlstate
	select gov_ingest('other', 'tokens', 1, null, '{y}');
	rollback to s;
	update gov_entities set parent_id = null where owner_id = 'other' and id = 'x';
	select is_granted from gov_consume('other', 'tokens', 1, null, '{y}');
	commit}), 't', 'in a transaction of its own, until it is taken back');

# An entity that is its own parent, and all of an owner in a cycle.
$node->safe_psql('postgres', q{
	set session_replication_role = replica;
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('self', 's', 'unit', 's');
	insert into gov_assignments (id, owner_id, entity_id, capability_id, usage_limit, counter_id) values (gen_random_uuid(), 'self', 's', 'tokens', 1, nextval('gov_counter_seq'))});
gov_raises($node, 'postgres', "select * from $_", '23514', $_, qr/It is its own parent/)
  foreach "gov_check('self', 'tokens', 1, null, '{s}')", "gov_query('self')", "gov_tree('self')", "gov_tree('self', '{tokens}')", "gov_report('self')";

# Archived ones hand their place on to their children, so that a cycle of them leaves no place to hand on.
$node->safe_psql('postgres', q{select gov_archive_entities('archived', '{a,b,c}')});
is($node->safe_psql('postgres', q{select parent_id is null from gov_budgets where owner_id = 'archived' and entity_id = 'd'}), 't', 'archived: d is shown as a root');
$node->safe_psql('postgres', "$force 'archived'");
gov_raises($node, 'postgres', "select * from $_ where owner_id = 'archived'", '23514', "archived: $_", $named) foreach 'gov_budgets', 'gov_allocations';
gov_raises($node, 'postgres', "select * from $_", '23514', "archived: $_", $named) foreach "gov_query('archived')", "gov_tree('archived')";

# A long one is named in part.
$node->safe_psql('postgres', q{
	set session_replication_role = replica;
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select 'long', repeat('n', 240) || g, 'unit', repeat('n', 240) || (g + 1) % 5000 from generate_series(0, 4999) g});
foreach my $call ("gov_query('long')", "gov_allowed('long', 'tokens', 1, null, array[repeat('n', 240) || 7])", "gov_tree('long')", "gov_tree('long', under_entity_id => repeat('n', 240) || 7)")
{
	gov_raises($node, 'postgres', "select $call", '23514', "five thousand: $call", qr/4995 more/);
}

# Cut: everything is as it was, and the counts equal the ledger.
$node->safe_psql('postgres', "$cut 'acme'");
$node->safe_psql('postgres', "$cut 'archived'");
$node->safe_psql('postgres', "select * from $_") foreach calls('d'), @reports, 'gov_budgets';
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), 0, 'the counts equal the ledger');

$node->stop;
done_testing();
