# What a foreign key of a user's refers to is kept by retention, and counted; what comes after it goes, and it too once nothing refers to
# it. Keys to the id, to other unique keys, from partitioned tables and from tables whose owner may not see their rows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

# No worker: gov_maintain does its work.
my $node = gov_node('referred', conf => <<CONF);
max_worker_processes = 0
governance.event_retention = '1d'
governance.alert_retention = '1d'
CONF
my $days = 0;
my $session = $node->background_psql('postgres', on_error_stop => 0);

sub pass_days
{
	my ($n) = @_;

	$days += $n;
	$node->safe_psql('postgres', "alter system set governance.clock_offset = '${days}d'");
	$node->reload;
	$node->poll_query_until('postgres', "select current_setting('governance.clock_offset') = '${days}d'") or die;
	return;
}

sub maintain { return gov_ask($session, q{select concat_ws(' ', pruned, waits_for) from gov_maintain()}); }

sub is_sql
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($sql, $expected, $name) = @_;

	is($node->safe_psql('postgres', $sql), $expected, $name);
	return;
}

sub is_exact { my ($label) = @_; is_sql('select * from gov_verify()', '', "$label: gov_verify finds nothing"); return; }

my $keys = q{select string_agg(idempotency_key, ' ' order by id) from gov_events};
my $kept = q{select value from gov_stats where name = 'events_kept'};

sub ingest
{
	$node->safe_psql('postgres', "select gov_ingest('acme', 'tokens', 1, null, '{agent-1}', '$_')") foreach @_;
	return;
}

gov_build($node, 'postgres');
is_sql($kept, 0, 'nothing is kept');

# ---------------------------------------------------------------- every kind of key

$node->safe_psql('postgres', q{
	create role shop;
	create role billing;
	grant references on gov_events, gov_reservations, gov_alerts to shop, billing;
	create schema shop authorization shop;
	grant shop, billing to postgres});
ingest(qw(a b c d e f g h));
$node->safe_psql('postgres', q{
	create unique index on gov_events (owner_id, id);
	alter table gov_events add unique (owner_id, idempotency_key);
	set role shop;
	create table shop.invoices (n int, event_id bigint references public.gov_events (id) on delete restrict);
	alter table shop.invoices enable row level security;
	alter table shop.invoices force row level security;
	create table shop."Key's lines" ("the owner" text collate "de-x-icu", "the key" text, foreign key ("the owner", "the key") references public.gov_events (owner_id, idempotency_key) deferrable);
	create table shop.months (month int, owner text, event bigint, foreign key (owner, event) references public.gov_events (owner_id, id)) partition by list (month);
	create table shop.may partition of shop.months for values in (5);
	create table shop.june (event bigint references public.gov_events (id), month int, owner text);
	create table shop.notes (event bigint references public.gov_events on delete cascade);
	create table shop.marks (event bigint references public.gov_events on delete set null);
	reset role;
	insert into shop.invoices select 1, id from gov_events where idempotency_key = 'a';
	insert into shop."Key's lines" values ('acme', 'c'), (null, 'd');
	insert into shop.months select 5, 'acme', id from gov_events where idempotency_key = 'e';
	insert into shop.june select id, 6, 'acme' from gov_events where idempotency_key = 'f';
	alter table shop.months attach partition shop.june for values in (6);
	insert into shop.notes select id from gov_events where idempotency_key = 'b';
	insert into shop.marks select id from gov_events where idempotency_key = 'd'});
maintain();
pass_days(2);
is(maintain(), 4, 'four of eight are deleted');
is_sql($keys, 'a c e f', 'those that are referred to are kept');
is_sql($kept, 4, 'and counted');
is_sql('select (select count(*) from shop.notes), (select count(*) from shop.marks where event is null)', '0|1', 'CASCADE and SET NULL are as their users wish');
is_exact('with kept events');
is_sql(q{select sum(event_count) - sum(pruned_count) = 20 from gov_usage}, 't', 'what was deleted is noted');

# What comes later is deleted, without looking at what was kept.
ingest(qw(i j));
maintain();
pass_days(2);
ingest('k');
is(maintain(), 2, 'later events are deleted');
is_sql($keys, 'a c e f k', 'and the kept ones stay');
is_sql($kept, 4, 'and are counted still');

# Once nothing refers to them they go, with the next pass.
$node->safe_psql('postgres', q{delete from shop.invoices; update shop.months set event = null where month = 5});
is(maintain(), 0, 'not in the same pass');
pass_days(1);
is(maintain(), 3, 'but in the next');
is_sql($keys, 'c f', 'with what has become due');
is_sql($kept, 2, 'are not counted any longer');
$node->safe_psql('postgres', q{drop table shop.months, shop."Key's lines", shop.invoices});
pass_days(1);
is(maintain(), 2, 'the others too');
is_sql($kept, 0, 'none is kept');
is_exact('without kept events');

# ---------------------------------------------------------------- who refers meanwhile

ingest(qw(l m n));
maintain();
pass_days(2);
$node->safe_psql('postgres', 'create table invoices (event_id bigint references gov_events)');
my $other = $node->background_psql('postgres', on_error_stop => 1);
$other->query_safe(q{begin; insert into invoices select id from gov_events where idempotency_key = 'm'});
is(maintain(), 2, 'no round waits for an open reference');
is_sql($keys, 'm', 'whose event stays');
$other->query_safe('commit');
pass_days(1);
is(maintain(), 0, 'and is kept');
is_sql($kept, 1, 'when it is committed');
ingest('o');
maintain();
pass_days(2);
$other->query_safe('begin; lock table invoices in access exclusive mode');
is(maintain(), 0, 'no round waits for a lock on the table that refers');
$other->query_safe('rollback');
$node->safe_psql('postgres', 'drop table invoices');
is(maintain(), 2, 'when no key is left, kept events are looked at at once');
is_exact('after others');

# ---------------------------------------------------------------- the events of a call

# A call of several capabilities is one: what refers to one of its events keeps all, and the key with them; so does who reverses one.
$node->safe_psql('postgres', q{insert into gov_capabilities (id) values ('requests'), ('seconds') on conflict do nothing});
my $as_call = sub { return qq{gov_ingest_all('acme', '{"tokens": 1, "requests": 1, "seconds": 1}', null, '{agent-1}', '$_[0]')} };
my $there = q{select string_agg(coalesce(c.key, '') || ':' || c.events, ' ' order by c.first) from (
	select min(id) as first, count(*) as events, max(idempotency_key) as key from gov_events group by coalesce(call_event_ids, array[id])) c};

foreach my $lead (0 .. 4)
{
	# wherever the batches, of four rows at first, begin and end
	$node->safe_psql('postgres', 'create table invoices (event_id bigint references gov_events)');
	ingest(map { "single $_" } 1 .. $lead) if $lead;
	my %call = map { $_ => $node->safe_psql('postgres', 'select event_ids from ' . $as_call->($_)) } qw(p q r s t);
	$node->safe_psql('postgres', qq{insert into invoices select (event_ids ->> 'tokens')::bigint from } . $as_call->($_)) foreach qw(q s);
	maintain();
	$other->query_safe('begin; select event_id from gov_reverse(' . $node->safe_psql('postgres', qq{select ('$call{t}'::jsonb ->> 'seconds')::bigint}) . ', 1)');
	pass_days(2);
	is(maintain() =~ s/ .*//r, $lead + 6, "after $lead events: all of a call go");
	is_sql($there, 'q:3 s:3 t:3', 'or none');
	is_sql($kept, 2, 'two are referred to');
	is_sql("select event_ids = '$call{$_}', is_duplicate from " . $as_call->($_), 't|t', "call $_ is known as a whole") foreach qw(q s t);
	is_sql('select is_duplicate from ' . $as_call->('p'), 'f', 'another one is not');
	$other->query_safe('rollback');
	pass_days(2);
	$node->safe_psql('postgres', 'drop table invoices');
	ingest('last');
	maintain() foreach 1 .. 2;
	is_sql($there, 'last:1', 'later they go, as a whole');
	pass_days(2);
	maintain();
	is_sql('select count(*) from gov_events', 0, 'and nothing is left');
	is_exact('after calls');
}

# ---------------------------------------------------------------- holds and alerts

$node->safe_psql('postgres', q{
	select gov_release(reservation_id) from generate_series(1, 3) n, gov_reserve('acme', 'tokens', 5, null, '{agent-1}', 'hold ' || n);
	create table jobs (hold uuid references gov_reservations);
	insert into jobs select id from gov_reservations where idempotency_key = 'hold 2';
	insert into gov_alerts (owner_id, assignment_id, threshold, window_start, usage, usage_limit, raised_at) select 'acme', gen_random_uuid(), n, '-infinity', 1, 1, gov_now() from generate_series(1, 3) n;
	create table mails (alert bigint references gov_alerts);
	insert into mails select id from gov_alerts where threshold = 2});
pass_days(2);
is(maintain(), 4, 'holds and alerts are deleted');
is_sql(q{select (select string_agg(idempotency_key, ' ') from gov_reservations), (select string_agg(threshold::text, ' ') from gov_alerts)}, 'hold 2|2', 'but for those that are referred to');
my $others = q{select string_agg(name || '=' || value, ' ' order by name) from gov_stats where name in ('holds_kept', 'alerts_kept')};
is_sql($others, 'alerts_kept=1 holds_kept=1', 'which are counted');
maintain();
is_sql($others, 'alerts_kept=1 holds_kept=1', 'once');
$node->safe_psql('postgres', 'drop table jobs, mails');
is(maintain(), 2, 'then these too');
is_sql($others, 'alerts_kept=0 holds_kept=0', 'and no longer');

# ---------------------------------------------------------------- what it costs

# With a key and without one, of events that nothing refers to: what PostgreSQL's own trigger looks for each is the most of it.
my %cost;

foreach my $key (0, 1)
{
	$node->safe_psql('postgres', 'create table invoices (event_id bigint references gov_events); create index on invoices (event_id)') if $key;
	$node->safe_psql('postgres', q{select count(gov_ingest('acme', 'tokens', 1, null, '{agent-1}')) from generate_series(1, 20000)});
	maintain();
	pass_days(2);
	$cost{$key} = gov_cost($session, 'select pruned from gov_maintain()');
	note "deleting 20000 events, key $key: $cost{$key}{blocks} blocks, $cost{$key}{ms} ms";
}
is_sql('select count(*) from gov_events', 0, 'all are deleted');
cmp_ok($cost{1}{blocks}, '<', 3 * $cost{0}{blocks}, 'a key costs less than twice as much again');
$node->safe_psql('postgres', 'drop table invoices');

$node->safe_psql('postgres', q{
	create table invoices (event_id bigint references gov_events);
	create index on invoices (event_id);
	with recorded as (select (gov_ingest('acme', 'tokens', 1, null, '{agent-1}')).event_id from generate_series(1, 20000))
	insert into invoices select event_id from recorded});
maintain();
pass_days(2);
my $keeping = gov_cost($session, 'select pruned from gov_maintain()');
note "keeping 20000 events: $keeping->{blocks} blocks, $keeping->{ms} ms";
cmp_ok($keeping->{blocks}, '<', $cost{0}{blocks}, 'to keep an event costs no more');
is_sql('select count(*) from gov_events', 20000, 'all are kept');
is_sql($kept, 20000, 'and counted');
my $blocks = gov_blocks($session, 'select pruned from gov_maintain()');
cmp_ok($blocks, '<', 200, "in between, with 20,000 kept events, a round takes $blocks blocks");
my $new = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($new, 'select count(*) from gov_stats');
$blocks = gov_blocks($new, 'select pruned from gov_maintain()');
cmp_ok($blocks, '<', 4000, "the first one of another session $blocks");
$new->quit;
is_exact('at the end');

$other->quit;
$session->quit;
$node->stop;
done_testing();
