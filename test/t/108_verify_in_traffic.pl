# gov_verify while others use, hold, release and expire: it reports nothing that is not wrong. It is stopped where it is about to look
# at shared memory, and again where it has and is about to read the ledger, and meanwhile others commit; and it runs beside clients
# that never stop. What is really wrong it reports all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('verify', conf => "timezone = 'UTC'\nautovacuum = off");

if ($node->psql('postgres', 'show governance.fault_action') != 0)
{
	$node->stop;
	plan skip_all => 'built without -DGOV_FAULTS';
}

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sql(q{
	insert into gov_entity_types (id) values ('org');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) select 'owner-' || n, 'org', 'org' from generate_series(1, 20) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
	select owner_id, id, 'tokens', name, 1000000, nullif(name, 'ever') from gov_entities, unnest('{ever,P1M}'::text[]) name});

# ---------------------------------------------------------------- stopped, while others commit

my $verifier = $node->background_psql('postgres', on_error_stop => 0);
my $holder = $node->background_psql('postgres');

# A hold of 5, whose row is found by its key.
sub hold { my ($key) = @_; return "(select id from gov_reservations where owner_id = 'owner-1' and idempotency_key = '$key')"; }

my %meanwhile = (
	'a use' => [ '', q{select gov_ingest('owner-1', 'tokens', 7, null, '{org}')} ],
	'a correction' => [ '', q{select gov_ingest('owner-1', 'tokens', -2, null, '{org}')} ],
	'a hold that is taken' => [ '', q{select gov_reserve('owner-1', 'tokens', 5, null, '{org}')} ],
	'a hold that is released' => [ q{select gov_reserve('owner-1', 'tokens', 5, null, '{org}', 'KEY')}, q{select gov_release(HOLD)} ],
	'a hold that is settled' => [ q{select gov_reserve('owner-1', 'tokens', 5, null, '{org}', 'KEY')}, q{select gov_settle(HOLD, 3)} ],
	'a hold that is swept' => [
		q{select gov_reserve('owner-1', 'tokens', 5, null, '{org}', 'KEY')},
		q{select gov_extend(HOLD, '1 millisecond'); select pg_sleep(0.002); select gov_maintain()} ],
	'one that is released and another that is taken' => [
		q{select gov_reserve('owner-1', 'tokens', 5, null, '{org}', 'KEY')},
		q{select gov_release(HOLD); select gov_reserve('owner-1', 'tokens', 5, null, '{org}')} ]);
my %stop = (
	'before it looks' => q{set governance.fault_point = 'wait'; set governance.fault_at = 1},
	'after it has looked' => q{set governance.fault_point = 'wait'; set governance.fault_at = 2});

gov_ask($verifier, q{set governance.fault_action = 'queue'});
foreach my $what (sort keys %meanwhile)
{
	foreach my $where (sort keys %stop)
	{
		foreach my $owner (q{'owner-1'}, 'null')
		{
			# of every owner it reads the ledger in one statement with what it looks at
			next if $owner eq 'null' && $where =~ /^after/;
			my $key = "$what $where $owner" =~ s/'//gr;
			my ($before, $then) = map { s/KEY/$key/gr =~ s/HOLD/hold($key)/ger } @{ $meanwhile{$what} };

			sql($before) if $before;
			gov_ask($holder, 'select pg_advisory_lock(1)');
			gov_ask($verifier, $stop{$where});
			$verifier->{stdin} .= "select count(*) || ' wrong' from gov_verify($owner);\n";
			$verifier->{run}->pump_nb;
			ok($node->poll_query_until('postgres', q{select count(*) = 1 from pg_locks where locktype = 'advisory' and not granted}),
				"$what, of $owner: it is stopped $where");
			sql($then);
			gov_ask($holder, 'select pg_advisory_unlock(1)');
			$verifier->{run}->pump until $verifier->{stdout} =~ / wrong\n/ || $verifier->{timeout}->is_expired;
			is($verifier->{stdout} =~ s/\s+//gr, '0wrong', 'and finds nothing');
			$verifier->{stdout} = '';
		}
	}
}

# ---------------------------------------------------------------- beside clients that never stop

gov_ask($verifier, q{set governance.fault_at = 0});
sql(q{
	create table stop ();
	create procedure traffic(seed float8) language plpgsql as $$
	declare
		owner text;
		hold uuid;
	begin
		perform setseed(seed);
		while to_regclass('stop') is not null loop
			owner := 'owner-' || 1 + (random() * 19)::integer;
			perform gov_ingest(owner, 'tokens', (random() * 9)::integer - 3, null, '{org}');
			select reservation_id into hold from gov_reserve(owner, 'tokens', 2, null, '{org}', null, case when random() < 0.3 then '1 millisecond'::interval else '1 hour' end);
			commit;
			case (random() * 3)::integer
				when 0 then perform gov_release(hold);
				when 1 then perform gov_settle(hold, 1);
				when 2 then perform gov_consume(owner, 'tokens', 1, null, '{org}');
				else null;
			end case;
			if random() < 0.2 then
				rollback;
			else
				commit;
			end if;
		end loop;
	end $$});
my @clients = map {
	my $client = $node->background_psql('postgres', on_error_stop => 0);

	$client->{stdin} .= "call traffic(0.$_);\n";
	$client->{run}->pump_nb;
	$client
} 1 .. 3;
ok($node->poll_query_until('postgres', 'select count(*) > 100 from gov_events'), 'clients use and hold');
my ($events, %wrong) = sql('select count(*) from gov_events');
for my $round (1 .. 24)
{
	my $owner = $round % 2 ? 'null' : q{'owner-7'};

	$wrong{$_} = 1 foreach split /\n/, sql(($round % 3 ? '' : 'begin isolation level repeatable read; select from gov_events limit 1; ')
		. "select * from gov_verify($owner)" . ($round % 3 ? '' : '; commit'));
}
cmp_ok(sql('select count(*) from gov_events'), '>', $events, 'and have not stopped');
is(join("\n", sort keys %wrong), '', 'gov_verify finds nothing, time after time');
sql('drop table stop');
foreach my $client (@clients)
{
	gov_ask($client, 'select 1');
	is($client->{stderr}, '', 'no client met an error');
	$client->quit;
}
is(sql('select * from gov_verify()'), '', 'nor when it is quiet');

# ---------------------------------------------------------------- what is wrong is found

sql(q{select gov_ingest('owner-3', 'tokens', 11, null, '{org}', 'wrong'); select gov_reserve('owner-4', 'tokens', 13, null, '{org}', 'wrong')});
gov_roll_up($node, 'postgres');
sql(q{
	set session_replication_role = replica;
	update gov_events set amount = amount + 1 where owner_id = 'owner-3' and idempotency_key = 'wrong';
	update gov_reservations set amount = amount + 2 where owner_id = 'owner-4' and idempotency_key = 'wrong'});
my $found = q{select owner_id, name, counted_by, trim_scale(recorded - counted) from gov_verify(%s) order by 1, 2, 3};
is(sql(sprintf $found, 'null'),
	"owner-3|P1M|cache|1\nowner-3|P1M|rollup|1\nowner-3|ever|cache|1\nowner-3|ever|rollup|1\nowner-4|P1M|holds|2\nowner-4|ever|holds|2",
	'what is wrong is found, of every owner');
is(sql(sprintf $found, q{'owner-4'}), "owner-4|P1M|holds|2\nowner-4|ever|holds|2", 'and of one');
is(sql(sprintf $found, q{'owner-5'}), '', 'and nothing of another');
$node->restart;
is(sql(sprintf $found, 'null'), "owner-3|P1M|rollup|1\nowner-3|ever|rollup|1", 'what is only wrong in memory is gone with it');

$holder->quit;
$verifier->quit;
$node->stop;
done_testing();
