# Pools where time passes, servers die and standbys take over: a grant that expires between a call and its abort stays expired, what was
# acknowledged is drawn after a kill -9 in the middle of traffic and no grant is drawn from past its amount, and a standby answers what
# the primary does, and goes on from there when it is promoted.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('pools', init => { allows_streaming => 1 }, conf => "timezone = 'UTC'\nrestart_after_crash = on\ngovernance.rollup_interval = '100ms'");
my $dir = PostgreSQL::Test::Utils::tempdir;

if ($node->psql('postgres', 'show governance.fault_clock') != 0)
{
	$node->stop;
	plan skip_all => 'built without -DGOV_FAULTS';
}

# What must hold of the pools of an owner at any quiet moment; empty when all is well.
$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id) values ('org'), ('user');
insert into gov_capabilities (id) values ('tokens');
create function wrong(owner text) returns setof text language sql as $$
	select format('grant %s: %s of %s drawn', g.category, b.drawn, b.granted)
	from gov_grant_balances b join gov_grants g on g.id = b.grant_id
	where b.owner_id = owner and (b.drawn > b.granted or b.drawn < 0 or b.remaining < 0 or b.granted <> b.drawn + b.held + b.expired + b.remaining)
	union all
	select format('event %s of %s has drawn %s', e.id, e.amount, d.amount)
	from gov_events e
	left join (select d.event_id, d.assignment_id, sum(d.amount) as amount from gov_event_draws d where d.owner_id = owner group by 1, 2) d on d.event_id = e.id
	where e.owner_id = owner and e.reverses is null and coalesce(d.amount, 0) <> e.amount
	union all
	select v::text from gov_verify(owner) v
$$;
create procedure pool(owner text) language sql as $$
	insert into gov_entities (owner_id, id, type_id, parent_id) values (owner, 'acme', 'org', null), (owner, 'ann', 'user', 'acme');
	insert into gov_assignments (owner_id, entity_id, capability_id, is_pool) values (owner, 'acme', 'tokens', true);
$$;
SQL

sub balances
{
	my ($server, $owner) = @_;

	return $server->safe_psql('postgres', "select string_agg(format('%s %s', g.category, trim_scale(b.remaining)), ', ' order by g.category) from gov_grant_balances b join gov_grants g on g.id = b.grant_id where b.owner_id = '$owner'");
}

# ---------------------------------------------------------------- time passes between a call and its abort

my ($first, $second) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;

sub set_clock
{
	my ($hour) = @_;

	gov_ask($_, "select set_config('governance.fault_clock', (extract(epoch from timestamptz '2030-01-01 $hour:00Z' - timestamptz '2000-01-01 00:00Z') * 1000000)::bigint::text, false)") foreach $first, $second;
	return;
}

sub consume { my ($session, $owner, $amount) = @_; return gov_ask($session, "select is_granted, trim_scale(remaining) from gov_consume('$owner', 'tokens', $amount, null, '{ann}')"); }
sub remaining { my ($session, $owner) = @_; return gov_ask($session, "select trim_scale(remaining) from gov_headroom('$owner', 'tokens', 0, null, '{ann}')"); }
sub drawn { my ($session, $owner) = @_; return gov_ask($session, "select string_agg(format('%s %s+%s', g.category, b.drawn, b.expired), ', ' order by g.category) from gov_grant_balances b join gov_grants g on g.id = b.grant_id where b.owner_id = '$owner'"); }

set_clock('10');
gov_ask($first, $_) foreach "call pool('clock')",
  "insert into gov_grants (owner_id, assignment_id, amount, effective_at, expires_at, category) select 'clock', id, v.amount, v.effective_at::timestamptz, v.expires_at::timestamptz, v.category from gov_assignments, (values (10, '2030-01-01 09:00Z', '2030-01-01 11:00Z', 'brief'), (5, '2030-01-01 09:00Z', null, 'lasting')) v (amount, effective_at, expires_at, category) where owner_id = 'clock' and is_pool";
is(consume($first, 'clock', 3), 't|12', 'drawn from the one that expires first');
gov_ask($first, 'begin');
is(consume($first, 'clock', 4), 't|8', 'and again, in a transaction');
set_clock('11');
is(remaining($second, 'clock'), '5', 'at its expiry, exclusive, what is left of it is forfeited');
gov_ask($first, 'rollback');
is(remaining($second, 'clock'), '5', 'what is given back to it then is forfeited too');
is(drawn($second, 'clock'), 'brief 3+7, lasting 0+0', 'as the balances say');
is(consume($second, 'clock', 6), 'f|5', 'and cannot be used');
is(consume($second, 'clock', 5), 't|0', 'the other one can');

# the same for a savepoint, and for a hold, which secures no grant past its expiry
set_clock('10');
gov_ask($first, $_) foreach "call pool('held')",
  "insert into gov_grants (owner_id, assignment_id, amount, effective_at, expires_at, category) select 'held', id, 10, '2030-01-01 09:00Z', '2030-01-01 11:00Z', 'brief' from gov_assignments where owner_id = 'held' and is_pool",
  'begin', 'savepoint s';
is(consume($first, 'held', 4), 't|6', 'drawn in a savepoint');
my $hold = gov_ask($first, "rollback to s; select reservation_id from gov_reserve('held', 'tokens', 6, null, '{ann}', ttl => '10 hours')");
gov_ask($first, 'commit');
is(remaining($second, 'held'), '4', 'given back to the grant, and held');
set_clock('11');
is(remaining($second, 'held'), '-6', 'nothing is left to hold');
gov_ask($second, "select from gov_settle('$hold')");
is(drawn($second, 'held'), 'brief 0+10', 'what was held is owed');
is(remaining($second, 'held'), '-6', 'by the pool');

# one that was voided before it took effect pays nothing of that; the next one that takes effect does
gov_ask($second, "insert into gov_grants (owner_id, assignment_id, amount, effective_at, expires_at, category) select 'held', id, v.amount, v.effective_at::timestamptz, null, v.category from gov_assignments, (values (50, '2030-01-01 12:00Z', 'voided'), (7, '2030-01-01 13:00Z', 'next')) v (amount, effective_at, category) where owner_id = 'held' and is_pool");
gov_ask($second, "select gov_void_grant(id) from gov_grants where owner_id = 'held' and category = 'voided'");
set_clock('12');
is(remaining($second, 'held'), '-6', 'what was voided before it took effect does not pay');
is(drawn($second, 'held'), 'brief 0+10, next 0+0, voided 0+50', 'in the balances neither');
set_clock('14');
is(remaining($second, 'held'), '1', 'the next one does');
is(drawn($second, 'held'), 'brief 0+10, next 6+0, voided 0+50', 'as the balances say');
is(gov_ask($second, q{select string_agg(w, E'\n') from unnest('{clock,held}'::text[]) o, wrong(o) w}), '', 'all is well');
$_->quit foreach $first, $second;

# ---------------------------------------------------------------- alerts that no commit has raised

# The rollup raises what it passes: here a threshold that was added before it came. What a grant has changed since is left to the next use.
my $stays = $node->background_psql('postgres');
$node->safe_psql('postgres', "call pool('late'); select from gov_grant_credits('late', 'acme', 'tokens', 10, category => 'first')");
$stays->query_safe("begin; select from gov_ingest('late', 'tokens', 0, null, '{ann}')");
$node->safe_psql('postgres', "select from gov_consume('late', 'tokens', 6, null, '{ann}')");
$node->safe_psql('postgres', "select gov_set_alert_policy('late', '{50}')");
is($node->safe_psql('postgres', "select count(*) from gov_alerts where owner_id = 'late'"), '0', 'a threshold is added, and was passed before');
$stays->query_safe('commit');
gov_roll_up($node, 'postgres');
is($node->safe_psql('postgres', "select threshold, usage, usage_limit, event_id is null, window_start = (select effective_at from gov_grants where owner_id = 'late') from gov_alerts where owner_id = 'late'"), '50|6|10|t|t', 'the rollup raises it');
$node->safe_psql('postgres', "select from gov_grant_credits('late', 'acme', 'tokens', 10, category => 'second')");
$stays->query_safe("begin; select from gov_ingest('late', 'tokens', 0, null, '{ann}')");
$node->safe_psql('postgres', "select from gov_consume('late', 'tokens', 1, null, '{ann}')");
$node->safe_psql('postgres', "select gov_void_grant(id) from gov_grants where owner_id = 'late' and category = 'second'");
$stays->query_safe('commit');
gov_roll_up($node, 'postgres');
is($node->safe_psql('postgres', "select count(*) from gov_alerts where owner_id = 'late'"), '1', 'what a voiding has reached it does not raise');
is($node->safe_psql('postgres', "select wrong('late')"), '', 'all is well');
$stays->quit;

# ---------------------------------------------------------------- traffic while grants take effect, expire and are voided

# Two pools on the way, several capabilities and batches, debts, holds, reversals, savepoints, top-ups and voidings; grants live for a
# fraction of a second. Who has drawn from which grant is checked against the times of both.
$node->safe_psql('postgres', q{
	insert into gov_capabilities (id) values ('calls');
	call pool('busy');
	insert into gov_assignments (owner_id, entity_id, capability_id, is_pool, debt_limit) values ('busy', 'ann', 'tokens', true, 20), ('busy', 'acme', 'calls', true, 0);
	create procedure grant_for(lasts interval) language sql as $$
		insert into gov_grants (owner_id, assignment_id, amount, priority, effective_at, expires_at)
		select owner_id, id, 1 + floor(random() * 200), floor(random() * 3), gov_now() + lasts * (random() - 0.3), case when random() < 0.8 then gov_now() + lasts * (0.8 + random()) end
		from gov_assignments where owner_id = 'busy' and is_pool
	$$;
	call grant_for('1 hour')});
append_to_file("$dir/busy.sql", <<'EOS');
\set what random(1, 12)
\set n random(1, 9)
\if :what <= 3
select is_granted from gov_consume('busy', 'tokens', :n, null, '{ann}');
\elif :what = 4
select is_granted from gov_consume_all('busy', jsonb_build_object('tokens', :n, 'calls', 1), null, '{ann}');
\elif :what = 5
begin;
select is_granted from gov_consume('busy', 'tokens', :n, null, '{ann}');
savepoint s;
select event_id from gov_ingest('busy', 'tokens', 3 * :n, null, '{ann}');
rollback to s;
select is_granted from gov_consume('busy', 'calls', :n, null, '{ann}');
commit;
\elif :what = 6
begin;
select event_id from gov_ingest('busy', 'tokens', 2 * :n, null, '{ann}');
rollback;
\elif :what = 7
select gov_settle(r.reservation_id, 2 * :n) from gov_reserve('busy', 'tokens', :n, null, '{ann}') r where r.is_granted;
\elif :what = 8
select gov_reverse(e.id, 1) from (select id from gov_events e where owner_id = 'busy' and amount > 2 and reverses is null and not exists (select from gov_events r where r.reverses = e.id) order by id desc limit 1 offset :n) e;
\elif :what = 9
select count(*) from gov_consume_many((select jsonb_agg(jsonb_build_object('ownerId', 'busy', 'capabilityId', 'tokens', 'amount', n, 'entityIds', array['ann'])) from generate_series(1, :n) n));
\elif :what = 10
call grant_for('500 ms');
\elif :what = 11
select gov_void_grant(id) from (select id from gov_grants where owner_id = 'busy' and voided_at is null and closed_at is null and expires_at > gov_now() order by random() limit 1) g;
\else
select event_id from gov_ingest('busy', 'tokens', -:n, null, '{ann}');
\endif
EOS
$node->command_ok([ 'pgbench', '-n', '-c', '8', '-j', '2', '-t', '150', '-f', "$dir/busy.sql", 'postgres' ], 'traffic while grants come and go');
# what a use takes stands after what it pays, so that the last row of each grant is what was taken
is($node->safe_psql('postgres', q{
	select count(*)
	from gov_events e
	cross join lateral (select g.*, d.amount as taken from generate_subscripts(e.draws, 1) n, lateral (select e.draws[n][1]::bigint as id, e.draws[n][2] as amount) d
		join gov_grants g on g.counter_id = d.id
		-- a payment is one of a debt that has a row below 0
		where not exists (select from generate_subscripts(e.draws, 1) m where e.draws[m][2] < 0)) g
	where e.owner_id = 'busy' and e.reverses is null and (e.recorded_at < g.effective_at or e.recorded_at >= g.expires_at)}), '0', 'nothing is drawn from a grant that is not live');
is($node->safe_psql('postgres', "select gov_allowed('busy', 'tokens', 0, null, '{ann}') is not null; select wrong('busy')"), 't', 'no grant is drawn from past its amount, and what was drawn is what was used');
cmp_ok($node->safe_psql('postgres', q{select count(distinct d.grant_id) from gov_event_draws d where d.owner_id = 'busy'}), '>', 20, 'many grants were drawn from');
my $busy = $node->safe_psql('postgres', q{select entity_id, capability_id, trim_scale(remaining + current_usage) = usage_limit from gov_budgets where owner_id = 'busy' order by 1, 2});
is($busy, "acme|calls|t\nacme|tokens|t\nann|tokens|t", 'and the reports agree');

# ---------------------------------------------------------------- kill -9 in the middle of traffic

$node->safe_psql('postgres', "call pool('killed')");
$node->safe_psql('postgres', q{insert into gov_grants (owner_id, assignment_id, amount, priority, category) select 'killed', a.id, 100 + 500 * n, n % 3, 'g' || n from gov_assignments a, generate_series(1, 20) n where a.owner_id = 'killed' and is_pool});
append_to_file("$dir/draw.sql", join '', map { <<"EOS" } 1 .. 30000);
select event_id from gov_consume('killed', 'tokens', ${\($_ % 5 + 1)}, null, '{ann}') where is_granted;
begin; savepoint s; select from gov_consume('killed', 'tokens', 7, null, '{ann}'); rollback to s; select from gov_ingest('killed', 'tokens', 1, null, '{ann}'); rollback;
EOS
my %told;
foreach my $round (1 .. 3)
{
	my @clients;
	my $before = $node->safe_psql('postgres', "select count(*) from gov_events where owner_id = 'killed'");
	{
		local %ENV = $node->_get_env();

		push @clients, IPC::Run::start([ 'psql', '-XAtq', '-f', "$dir/draw.sql", 'postgres' ], '>', "$dir/ids-$round-$_", '2>', "$dir/errors") foreach 1 .. 4;
	}
	$node->poll_query_until('postgres', "select count(*) > $before + 100 from gov_events where owner_id = 'killed'") or die 'no traffic';
	my $log_end = -s $node->logfile;
	kill 'KILL', $node->safe_psql('postgres', "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() limit 1");
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log_end);
	gov_await($node, 'postgres', 'select true');
	eval { $_->finish } foreach @clients;
	$told{$_} = 1 foreach grep { /^\d+$/ } map { split /\n/, slurp_file("$dir/ids-$round-$_") } 1 .. 4;
	is($node->safe_psql('postgres', "select gov_allowed('killed', 'tokens', 0, null, '{ann}'); select wrong('killed')"), 't', "all is well after crash $round");
}
my $ids = join ',', keys %told;
is($node->safe_psql('postgres', "select count(*) from unnest('{$ids}'::bigint[]) i (id) where not exists (select from gov_event_draws d where d.event_id = i.id)"), '0', 'what was acknowledged has drawn');
cmp_ok(scalar keys %told, '>', 300, 'and that is something');

# what is left can be used to the last bit
my $left = $node->safe_psql('postgres', q{select trim_scale(remaining) from gov_budgets where owner_id = 'killed' and entity_id = 'acme'});
is($node->safe_psql('postgres', qq{select is_granted from gov_check('killed', 'tokens', $left + 1, null, '{ann}'); select is_granted from gov_check('killed', 'tokens', $left, null, '{ann}')}), "f\nt", "of the $left that are left");

# ---------------------------------------------------------------- a standby

$node->safe_psql('postgres', q{
	call pool('acme');
	select from gov_grant_credits('acme', 'acme', 'tokens', 100, '2099-01-01', category => 'monthly');
	select from gov_grant_credits('acme', 'acme', 'tokens', 50, category => 'bought');
	select gov_consume('acme', 'tokens', 30, null, '{ann}')});
gov_roll_up($node, 'postgres');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

# what idles keeps the rest in the tail, and is lost with the primary
my $idle = $node->background_psql('postgres');
$idle->query_safe("begin; select gov_consume('acme', 'tokens', 20, null, '{ann}')");
$node->safe_psql('postgres', q{
	select gov_consume('acme', 'tokens', 60, null, '{ann}');
	select gov_reverse(max(id), 15) from gov_events where owner_id = 'acme';
	select gov_reserve('acme', 'tokens', 5, null, '{ann}', ttl => '1 day');
	select gov_void_grant(id) from gov_grants where owner_id = 'acme' and category = 'bought';
	select gov_ingest('acme', 'tokens', 40, null, '{ann}');
	select from gov_grant_credits('acme', 'acme', 'tokens', 200, category => 'top-up')});
$node->wait_for_catchup($standby);

sub told
{
	my ($server) = @_;

	return $server->safe_psql('postgres', q{
		select entity_id, usage_limit, trim_scale(current_usage), trim_scale(remaining) from gov_headroom('acme', 'tokens', 0, null, '{ann}');
		select usage_limit, trim_scale(current_usage), trim_scale(remaining) from gov_budgets where owner_id = 'acme' and entity_id = 'acme';
		select gov_query('acme', '{tokens}') #> '{data,0,remaining}';
		select g.category, b.drawn, b.held, b.expired, b.remaining from gov_grant_balances b join gov_grants g on g.id = b.grant_id where b.owner_id = 'acme' order by 1;
		select event_id, grant_id, amount from gov_event_draws where owner_id = 'acme' order by 1, 2, 3;
		select wrong('acme')});
}

my $wanted = told($standby);
like($wanted, qr/^acme\|300\|/, 'a standby knows what is granted');
my $session = $standby->background_psql('postgres');
my $room = gov_ask($session, "select trim_scale(remaining) from gov_headroom('acme', 'tokens', 0, null, '{ann}')");
is(gov_ask($session, "select string_agg(gov_allowed('acme', 'tokens', $room + n, null, '{ann}')::text, ' ' order by n) from generate_series(0, 1) n"), 'true false', "and what is left: $room");
gov_raises($standby, 'postgres', "select gov_grant_credits('acme', 'acme', 'tokens', 1)", '25006', 'it grants nothing');
gov_raises($standby, 'postgres', 'select gov_void_grant(id) from gov_grants limit 1', '25006', 'and voids nothing');

$node->stop('immediate');
eval { $idle->quit };
$standby->promote;
$standby->poll_query_until('postgres', 'select not pg_is_in_recovery()') or die 'no promotion';
is(told($standby), $wanted, 'promoted: the same');
is(gov_ask($session, "select is_granted, trim_scale(remaining) from gov_consume('acme', 'tokens', $room, null, '{ann}')"), 't|0', 'promoted: just that can be used');
is(gov_ask($session, "select is_granted from gov_consume('acme', 'tokens', 1, null, '{ann}')"), 'f', 'and no more');
is(gov_ask($session, "select gov_grant_credits('acme', 'acme', 'tokens', 10, category => 'after') is not null; select is_granted from gov_consume('acme', 'tokens', 10, null, '{ann}')"), "t\nt", 'it grants again');
gov_roll_up($standby, 'postgres');
is($standby->safe_psql('postgres', "select wrong('acme')"), '', 'promoted and rolled up: all is well');

$session->quit;
$standby->stop;
done_testing();
