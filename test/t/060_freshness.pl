# How far the rollup is behind: what gov_stats says is what the tables say, under load too; a transaction that is in the way is named
# and delays it no longer than it lasts; nothing is left when the writers stop. (How far, in seconds: make bench.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('freshness', conf => "governance.rollup_interval = '1s'");
my $dir = PostgreSQL::Test::Utils::tempdir;

gov_build($node, 'postgres', agents => 20);

# Polls gov_stats. In the same snapshot the events that gov_usage_hourly has not counted are found by counting; they are the last ones,
# because the rollup goes by id. gov_stats does not count them: it says how many ids they span, which are as many or more, and how old
# the first is. Answers what gov_stats had wrong, how many answers had a lag, and how far the rollup came meanwhile.
$node->safe_psql('postgres', <<'SQL');
create function poll(times int, out wrong text, out lagging int, out watermarks int) language plpgsql as $$
declare
	begun timestamptz;
	ended timestamptz;
	shown record;
	seen bigint[];
begin
	lagging := 0;
	for i in 1 .. times loop
		begun := clock_timestamp();
		with hourly as materialized (
			select coalesce(sum(event_count), 0) as counted from gov_usage_hourly where entity_id = 'org-1'
		),
		facts as materialized (
			select
				max(value) filter (where name = 'rollup_lag_events') as events,
				max(value) filter (where name = 'rollup_lag_seconds') as seconds,
				max(value) filter (where name = 'rollup_watermark') as watermark
			from gov_stats
		)
		select f.events, f.seconds, f.watermark,
			t.true_events, t.ids, (select e.recorded_at from gov_events e where e.id = t.first) as oldest
		into shown
		from facts f, hourly h,
			lateral (select count(*) as true_events, coalesce(max(e.id) - min(e.id) + 1, 0) as ids, min(e.id) as first
				from (select id from gov_events order by id offset h.counted) e) t;
		ended := clock_timestamp();

		lagging := lagging + (shown.true_events > 0)::int;
		seen := array_append(seen, shown.watermark::bigint);
		if shown.events <> shown.ids
			or shown.events < shown.true_events
			or (shown.true_events = 0) <> (shown.events = 0)
			or (shown.oldest is null and shown.seconds <> 0)
			or shown.seconds < extract(epoch from begun - shown.oldest) - 0.001
			or shown.seconds > extract(epoch from ended - shown.oldest) + 0.001
		then
			wrong := concat_ws(E'\n', wrong, format('%s, oldest %s, asked from %s to %s', shown, shown.oldest, begun, ended));
		end if;
		perform pg_sleep(0.02);
	end loop;
	select count(distinct w) into watermarks from unnest(seen) w;
end
$$;
SQL

sub lag_is_nothing
{
	my ($when) = @_;

	ok($node->poll_query_until('postgres', "select bool_and(value = 0) from gov_stats where name ~ '^rollup_lag'"), "$when: no lag");
	is(gov_tail($node, 'postgres'), 0, "$when: and no tail");
	return;
}

# ---------------------------------------------------------------- at full load

append_to_file("$dir/ingest.sql", <<'EOS');
\set agent random(1, 20)
select event_id from gov_ingest('acme', 'tokens', 1, null, array['agent-' || :agent::text]);
EOS
{
	local %ENV = $node->_get_env();
	my $load = IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-c', '6', '-j', '2', '-T', '180', '-f', "$dir/ingest.sql", 'postgres' ],
		'<', \undef, '>', "$dir/load.out", '2>', "$dir/load.err");

	$node->poll_query_until('postgres', 'select value > 0 from gov_stats where name = \'rollup_watermark\'') or die 'no load';
	my ($wrong, $lagging, $watermarks) = split /\|/, $node->safe_psql('postgres', 'select * from poll(30)');
	is($wrong, '', 'gov_stats shows the lag that there is');
	cmp_ok($lagging, '>', 15, 'and there is one, under load');

	# by what has been recorded and not by the time: on a machine that has no time for us, neither the writers nor the rollup have it
	foreach my $round (1 .. 3)
	{
		my $last = $node->safe_psql('postgres', 'select max(id) from gov_events');
		ok($node->poll_query_until('postgres', "select value >= $last from gov_stats where name = 'rollup_watermark'"),
			"round $round: what was committed is rolled up while the writers go on");
	}
	$load->signal('INT');
	$load->finish;
}
lag_is_nothing('the writers have stopped');
gov_is_exact($node, 'postgres', 'and the counts are right');

# ---------------------------------------------------------------- a transaction that is in the way

my $idle = $node->background_psql('postgres');
my $pid = $idle->query_safe('select pg_backend_pid()');
$idle->query_safe(q{begin; select gov_ingest('acme', 'tokens', 1, null, '{agent-1}')});
gov_use($node, 'postgres', 1) foreach 1 .. 5;
like($node->safe_psql('postgres', q{select value, detail from gov_stats where name = 'rollup_waits_for'}),
	qr/^1\|process $pid \(/, 'an idle transaction is named');
ok($node->poll_query_until('postgres', q{select value > 2.5 from gov_stats where name = 'rollup_lag_seconds'}), 'the lag grows');
is(gov_stat($node, 'postgres', 'rollup_lag_events'), 5, 'by the events that are committed, not by the one that is open');
is($node->safe_psql('postgres', 'select wrong from poll(3)'), '', 'as the tables say');
$idle->query_safe('commit');
lag_is_nothing('it has ended');
is(gov_stat($node, 'postgres', 'rollup_waits_for'), 0, 'and nothing is waited for');

# It is not the next round that takes its event, but another try of the one that it was in the way of: that would come in an hour.
gov_set($node, 'governance.rollup_interval', '1h');
$node->safe_psql('postgres', q{select pg_terminate_backend(pid) from pg_stat_activity where backend_type like 'governance%'});
$node->poll_query_until('postgres', q{select count(*) = 0 from pg_stat_activity where backend_type like 'governance%'}) or die 'the worker stays';
my $id = $idle->query_safe(q{begin; select event_id from gov_ingest('acme', 'tokens', 1, null, '{agent-1}')});
$node->poll_query_until('postgres', q{select count(*) = 1 from pg_stat_activity where backend_type like 'governance%' and state = 'idle'}) or die 'no worker';
$idle->query_safe('commit');
ok($node->poll_query_until('postgres', "select value >= $id from gov_stats where name = 'rollup_watermark'"), 'a round that was held up goes on');
$idle->quit;

# ---------------------------------------------------------------- the engine's clock

gov_set($node, 'governance.clock_offset', '1d');
$idle = $node->background_psql('postgres');
$idle->query_safe(q{begin; select gov_ingest('acme', 'tokens', 1, null, '{agent-1}')});
gov_use($node, 'postgres', 1);
is( $node->safe_psql('postgres', q{select value between 0 and 3600 from gov_stats where name = 'rollup_lag_seconds'}),
	't', 'ages are by the clock that the events were recorded by');
$idle->query_safe('commit');
$idle->quit;

$node->stop;
done_testing();
