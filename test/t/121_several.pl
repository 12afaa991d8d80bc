# Several capabilities at once, under 64 clients: two meters have caps that the clients fill, in calls that name the capabilities in either
# order, with keys, holds, savepoints and rollbacks. Judged from the ledger: no cap is passed, by one unit; what is recorded of a call is all
# of it, and so is what a client was told; and a key is with the first of its events.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant CLIENTS => 64;

my $node = gov_node('several', conf => "max_connections = 100\nrestart_after_crash = on\n");

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
insert into told select e.call_event_ids from gov_consume_all('acme', jsonb_build_object('tokens', :t, 'requests', 1, 'seconds', 2), null, array['u' || :u]) c join gov_events e on e.id = (c.event_ids ->> 'tokens')::bigint;
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
		where (select count(*) from gov_events o where o.id = any (e.call_event_ids) and o.call_event_ids = e.call_event_ids and o.entity_ids = e.entity_ids)
			is distinct from cardinality(e.call_event_ids)
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
is(sql('select * from gov_verify()'), '', '64 clients: gov_verify finds nothing');

$node->stop;
done_testing();
