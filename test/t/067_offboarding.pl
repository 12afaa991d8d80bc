# gov_delete_owner: no row of the owner is left in any table that there is, nothing of it in a warm cache, and nothing comes back with a
# rollup; others keep all they have. Made again under the same ids, it begins at nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('offboarding', conf => "governance.rollup_interval = '1h'");
my @tables = split /\n/, $node->safe_psql('postgres', q{
	select c.relname
	from pg_class c
	join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
	join pg_attribute a on a.attrelid = c.oid and a.attname = 'owner_id'
	where c.relkind = 'r' order by 1});

$node->safe_psql('postgres', <<'SQL');
create procedure populate(owner text) language plpgsql as $$
begin
	insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('user', '{userId}') on conflict do nothing;
	insert into gov_capabilities (id) values ('tokens') on conflict do nothing;
	insert into gov_entities (owner_id, id, type_id, parent_id) values (owner, 'org', 'org', null), (owner, 'ann', 'user', 'org'), (owner, 'ben', 'user', 'org'), (owner, 'old', 'user', 'org');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, scope_entity_ids, strict_allocation)
	values (owner, 'org', 'tokens', 100, 'P1Y', '{}', true), (owner, 'ann', 'tokens', 50, null, '{}', false), (owner, 'ann', 'tokens', 20, 'PT1H', '{ben}', false);
	perform gov_archive_entities(owner, '{old}');
	perform gov_set_alert_policy(owner, '{10, 50}');
end
$$;
create procedure use(owner text) language plpgsql as $$
begin
	perform gov_ingest(owner, 'tokens', 12, '{"userId": "ann", "x": "y"}', null, 'a key');
	perform gov_ingest(owner, 'tokens', 1, '{"userId": "nobody"}', '{ben}', null, now() - interval '2 years');
	perform gov_ingest(owner, 'tokens', 1);
	perform gov_settle(reservation_id, 3) from gov_reserve(owner, 'tokens', 2, null, '{ann,ben}', 'settled');
	perform gov_reserve(owner, 'tokens', 2, null, '{ann}', 'open', '1 hour');
end
$$;
SQL
foreach my $owner ('gone', 'stays')
{
	$node->safe_psql('postgres', "call populate('$owner')");
	$node->safe_psql('postgres', "call use('$owner')");
}
gov_roll_up($node, 'postgres');
$node->safe_psql('postgres', "select count(*) from unnest('{gone,stays}'::text[]) o, gov_ingest(o, 'tokens', 2, null, '{ben}') i");

# All rows of an owner, by table.
sub rows_of
{
	my ($owner) = @_;

	return join "\n", map { "$_ " . $node->safe_psql('postgres', "select count(*), md5(string_agg(t::text, ',' order by t::text)) from $_ t where owner_id = '$owner'") } @tables;
}

# What an owner is said to have, by all that can be asked in a session.
sub answers
{
	my ($session, $owner) = @_;

	return $session->query_safe(qq{
		select string_agg(concat_ws(' ', entity_id, current_usage, reserved_usage, remaining), ',' order by entity_id, usage_limit) from gov_headroom('$owner', 'tokens', 1, null, '{ann,ben,org,old,nobody}');
		select is_granted, chains from gov_check('$owner', 'tokens', 1000, '{"userId": "ann"}', '{ben}');
		select gov_query('$owner', '{tokens}') -> 'data', gov_query('$owner') -> 'data';
		select count(*) from gov_tree('$owner');
		select sum(amount) from gov_attribution('$owner', 'tokens', '{user}', '-infinity', 'infinity');
		select count(*) from gov_budgets where owner_id = '$owner';
		select count(*) from gov_holds where owner_id = '$owner';
		select gov_list_entities('$owner') -> 'data', gov_list_assignments('$owner') -> 'data';
		select gov_get_entity('$owner', 'ann') is null});
}

my @warm = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
my $hold = $node->safe_psql('postgres', "select id from gov_reservations where owner_id = 'gone' and state = 'open'");
my $counters = $node->safe_psql('postgres', "select string_agg(counter_id::text, ', ') from gov_assignments where owner_id = 'gone'");
my $stays = rows_of('stays');
my $was = answers($warm[0], 'gone');
my $nothing = answers($warm[1], 'never was');

foreach my $owner ('gone', 'stays')
{
	unlike(rows_of($owner), qr/ 0\|/, "$owner has rows in every table");
}
isnt($was, $nothing, 'and is known');
is(answers($warm[1], 'gone'), $was, 'to every session');

# ---------------------------------------------------------------- rolled back

is(gov_ask($warm[0], q{begin; select gov_delete_owner('gone')}), '', 'deleted');
is(answers($warm[0], 'gone'), $nothing, 'its own transaction knows nothing of it');
my $gone = rows_of('gone');
is(answers($warm[1], 'gone'), $was, 'others know all of it');
gov_ask($warm[0], 'rollback');
is(rows_of('gone'), $gone, 'rolled back, it has its rows');
is(answers($warm[$_], 'gone'), $was, "and is known as before to session $_") foreach 0, 1;
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- for good

$node->safe_psql('postgres', q{select gov_delete_owner('gone')});
my $none = join "\n", map { "$_ 0|" } @tables;
is(rows_of('gone'), $none, 'no row is left in any table');
is(rows_of('stays'), $stays, 'the other has all of its rows');
is(answers($warm[$_], 'gone'), $nothing, "session $_ knows nothing of it") foreach 0, 1;
is($warm[0]->query_safe("select count(*) from gov_cached_counters() where counter_id in ($counters)"), 0, 'no counter is cached');
like(gov_ask($warm[0], "\\set VERBOSITY verbose\nselect gov_settle('$hold')"), qr/ERROR:  42704/, 'its hold is no hold any more');
gov_roll_up($node, 'postgres');
is(rows_of('gone'), $none, 'nothing comes back with a rollup');
is(join("\n", grep { !/usage/ } split /\n/, rows_of('stays')), join("\n", grep { !/usage/ } split /\n/, $stays), 'and nothing of the other goes');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- and again

$node->safe_psql('postgres', "call populate('gone')");
is(answers($warm[0], 'gone') =~ /^ann 0 0 20,ann 0 0 50,org 0 0 100/ ? 1 : 0, 1, 'made again, it begins at nothing');
$node->safe_psql('postgres', "call use('gone')");
is($node->safe_psql('postgres', "select string_agg(concat_ws(' ', entity_id, current_usage, reserved_usage), ', ' order by entity_id, cadence) from gov_headroom('gone', 'tokens', 0, null, '{ann,ben}')"),
	'ann 3 0, ann 15 2, org 15 2, org 15 2', 'and counts, with the keys that it had');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

# What is still open when the owner goes is not seen, and stays until the next call.
$warm[0]->query_safe(q{begin; select gov_ingest('gone', 'tokens', 1, null, '{ann}')});
$node->safe_psql('postgres', q{select gov_delete_owner('gone')});
$warm[0]->query_safe('commit');
is($node->safe_psql('postgres', q{select count(*) from gov_events where owner_id = 'gone'}), 1, 'a use that was open stays');
is(answers($warm[1], 'gone') =~ s/^1$//mr, $nothing, 'as one of an owner of whom nothing is governed');
$node->safe_psql('postgres', q{select gov_delete_owner('gone')});
gov_roll_up($node, 'postgres');
is(rows_of('gone'), $none, 'until it is deleted once more');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

$_->quit foreach @warm;
$node->stop;
done_testing();
