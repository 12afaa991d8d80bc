# Several capabilities at once, under 64 clients: two meters have caps that the clients fill, in calls that name the capabilities in either
# order, with keys, holds, savepoints and rollbacks. Judged from the ledger: no cap is passed, by one unit; what is recorded of a call is all
# of it, and so is what a client was told; and a key is with the first of its events. The same after a crash among them, with batches and
# priced amounts, on a standby, and after its promotion.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovSession;
use GovTest;

use constant CLIENTS => 64;

my $node = gov_node('several', init => { allows_streaming => 1 }, conf => "max_connections = 100\nrestart_after_crash = on\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	insert into gov_entity_types (id) values ('org'), ('user');
	insert into gov_capabilities (id) values ('tokens'), ('requests'), ('seconds');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'u' || n, 'user', 'root' from generate_series(1, 20) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'root', 'tokens', 20000), ('acme', 'root', 'requests', 3000);
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'acme', 'u' || n, 'tokens', 1500 from generate_series(1, 20) n;
	create table told (call_event_ids bigint[] not null)});

# What was recorded is told by a row of the client's own, in the same transaction.
my $script = PostgreSQL::Test::Utils::tempdir . '/clients.sql';
append_to_file($script, <<'SQL');
\set u random(1, 20)
\set t random(1, 12)
\set k random(1, 400)
\set what random(1, 10)
begin;
select coalesce(event_ids ->> 'tokens', '0') as event from gov_consume_all('acme', jsonb_build_object('tokens', :t, 'requests', 1, 'seconds', 2), null, array['u' || :u]) \gset
insert into told select e.call_event_ids from gov_events e where e.id = :event;
savepoint s;
select is_granted from gov_consume_all('acme', jsonb_build_object('requests', 2, 'tokens', 1), null, array['u' || :u], 'key-' || :u || '-' || :k);
\if :what = 1
rollback to s;
\endif
\if :what = 2
rollback;
\else
commit;
\endif
select coalesce(reservation_id::text, '') as hold from gov_reserve_all('acme', jsonb_build_object('tokens', 2 * :t, 'requests', 1), null, array['u' || :u]) \gset
\if :what < 6
select gov_release(nullif(':hold', '')::uuid) where ':hold' <> '';
\else
select is_duplicate from gov_settle_all(nullif(':hold', '')::uuid, jsonb_build_object('tokens', :t, 'requests', 1)) where ':hold' <> '';
\endif
SQL
$node->safe_psql('postgres', 'checkpoint');

sub clients
{
	my ($transactions) = @_;

	return map {
		my ($out, $err) = ('', '');
		IPC::Run::start([ 'pgbench', '-n', '-c', CLIENTS / 2, '-j', 2, '-t', $transactions, '-M', 'simple', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ], \undef, \$out, \$err);
	} 1 .. 2;
}

# What the ledger says that must not be: caps passed, calls of which a part is missing or which do not know each other.
my $WRONG = q{
	select string_agg(w.what, ', ')
	from (
		select a.entity_id || ' is past its cap of ' || a.capability_id as what
		from gov_assignments a
		join lateral (select sum(e.amount) as amount from gov_events e where e.counter_ids @> array[a.counter_id]) l on l.amount > a.usage_limit
		union all
		select 'event ' || e.id || ' lacks others of its call'
		from gov_events e
		where e.call_event_ids is not null
			and (select count(*) from gov_events o where o.id = any (e.call_event_ids) and o.call_event_ids = e.call_event_ids and o.entity_ids = e.entity_ids) <> cardinality(e.call_event_ids)
		union all
		select 'the key of event ' || e.id || ' is not with the first' from gov_events e where e.idempotency_key is not null and e.id <> e.call_event_ids[1]
		union all
		select 'what was told of ' || t.call_event_ids::text || ' is not there'
		from told t
		where (select count(*) from gov_events e where e.id = any (t.call_event_ids)) <> 3
		limit 5
	) w};

my @clients = clients(25);
ok(IPC::Run::finish($_), 'the clients end') foreach @clients;
is(sql($WRONG), '', 'no cap is passed, and each call is there as a whole');
cmp_ok(sql('select count(*) from told'), '>', 100, 'as clients were told');
is(sql('select * from gov_verify()'), '', '64 clients: gov_verify finds nothing');

# ---------------------------------------------------------------- a crash among clients, and what was open

my $by_quantities = q{gov_consume_all('acme', '{"tokens": {"in": 7}, "requests": 0, "seconds": 1}', null, '{u1}', 'priced')};
my $held = q{gov_reserve_all('acme', '{"tokens": {"in": 20}, "requests": 0}', null, '{u2}', 'held', '1 day')};
my $used = q{select string_agg(concat_ws(' ', entity_id, capability_id, trim_scale(current_usage), trim_scale(reserved_usage)), ', ' order by entity_id, capability_id) from gov_budgets where owner_id = 'acme'};

sql(q{
	insert into gov_prices (capability_id, quantity, price, per, valid_from) values ('tokens', 'in', 1, 2, '2020-01-01');
	update gov_assignments set usage_limit = usage_limit + 5000});
my ($call, $hold) = map { sql($_) } "select event_ids from $by_quantities", "select reservation_id from $held";
my $open = GovSession->new($node, 'open');
$open->ask('begin');
$open->ask(q{select is_granted from gov_consume_all('acme', '{"tokens": 3, "requests": 1}', null, '{u3}', 'open')});
$open->ask(qq{select is_duplicate from gov_settle_all('$hold', '{"tokens": 1}')});
@clients = clients(1000);
my $before = sql('select count(*) from told');
$node->poll_query_until('postgres', "select count(*) > $before + 200 from told") or die;
$node->stop('immediate');
IPC::Run::finish($_) foreach @clients;
$node->start;
is(sql($WRONG), '', 'after a crash: no cap is passed, and each call is there as a whole');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');
cmp_ok(sql('select count(*) from told'), '>', $before + 200, 'what clients were told is there');
is(sql("select event_ids = '$call', is_duplicate from $by_quantities"), 't|t', 'a key is known, with all events of its call');
is(sql("select reservation_id = '$hold', is_duplicate, state, amounts from $held"), 't|t|open|{"tokens": 10, "requests": 0}', 'a hold that was being settled is open');
is(sql(q{select count(*) from gov_events where idempotency_key = 'open'}), 0, 'a call that was open never was');
gov_roll_up($node, 'postgres');
is(sql($WRONG), '', 'rolled up');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- a standby, and its promotion

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('several_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $late = sql(q{select event_ids from gov_ingest_all('acme', '{"tokens": {"in": 3}, "requests": 2}', null, '{u4}', 'late')});
sql(q{select count(is_granted) from gov_consume_many((select jsonb_agg(jsonb_build_object('ownerId', 'acme', 'capabilityId', c, 'amount', n, 'entityIds', array['u' || n], 'idempotencyKey', 'batch ' || n || c))
	from generate_series(1, 9) n, unnest('{tokens,requests}'::text[]) c))});
$node->wait_for_catchup($standby);
my $everywhere = sql($used);
is($standby->safe_psql('postgres', $used), $everywhere, 'a standby counts the same');
my $ask = q{select is_granted, denied_capability_id, remaining from gov_check_all('acme', '{"tokens": {"in": 10}, "requests": 1, "seconds": 5}', null, '{u4}')
	union all select is_granted, denied_capability_id, remaining from gov_check_all('acme', '{"tokens": {"in": 40000}, "requests": 1}', null, '{u4}')};
is($standby->safe_psql('postgres', $ask), sql($ask), 'and decides the same');
is($standby->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing there');
gov_raises($standby, 'postgres', "select * from $_", '25006', $_) foreach
	q{gov_consume_all('acme', '{"tokens": 1}')}, q{gov_require_all('acme', '{"tokens": 1}')}, q{gov_ingest_all('acme', '{"tokens": 1}')},
	q{gov_reserve_all('acme', '{"tokens": 1}')}, "gov_settle_all('$hold')";
$node->stop('immediate');
$standby->promote;
$standby->poll_query_until('postgres', 'select not pg_is_in_recovery()') or die 'no promotion';
is($standby->safe_psql('postgres', $used), $everywhere, 'promoted: the counts are the same');
is($standby->safe_psql('postgres', "select event_ids = '$late', is_duplicate from gov_ingest_all('acme', '{\"requests\": 2, \"tokens\": {\"in\": 3}}', null, '{u4}', 'late')"), 't|t', 'a key is known');
is($standby->safe_psql('postgres', "select is_duplicate from gov_settle_all('$hold')"), 'f', 'a hold is settled');
is($standby->safe_psql('postgres', "select settled_amounts, quantities from gov_reservations where id = '$hold'"), '{"tokens": 10, "requests": 0}|{"tokens": {"in": 20}}', 'for what was held');
is($standby->safe_psql('postgres', $WRONG), '', 'promoted: each call is there as a whole');
is($standby->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');
gov_roll_up($standby, 'postgres');
is($standby->safe_psql('postgres', 'select * from gov_verify()'), '', 'promoted and rolled up: gov_verify finds nothing');

$standby->stop;
done_testing();
