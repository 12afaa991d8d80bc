# Everything changes all the time, for a minute here and for as long as SOAK_SECONDS says by hand (SOAK_SECONDS=1800 test/check 142_soak):
# uses, holds, keys, batches, entities that come and go, budgets, defaults, boosts, grants and requests, customers that are deleted and made
# again, people who are forgotten, recounts, reports, and statements that are cancelled, run into a timeout, or lose their session. The
# memory of each session, of the worker and of the cache reaches a level and stays on it, the tables have what the settings keep, and
# gov_verify() finds nothing.

use strict;
use warnings;

use FindBin;
use IPC::Run ();
use List::Util qw(sum);
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use GovSession;
use GovTest;

my $seconds = $ENV{SOAK_SECONDS} // 60;
my $SESSIONS = 4;
my $node = gov_node('soak', conf => <<CONF);
governance.cache_size = '2MB'
governance.rollup_interval = '20ms'
governance.event_retention = '1min'
governance.usage_retention = '1min'
governance.alert_retention = '1min'
governance.change_retention = '1min'
governance.denial_retention = '1min'
fsync = off
deadlock_timeout = '50ms'
autovacuum_naptime = '1s'
log_error_verbosity = verbose
restart_after_crash = off
CONF

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(slurp_file("$FindBin::RealBin/../fuzz_data.sql"));
sql(q{
	call fuzz.customer('acme'); call fuzz.customer('globex');
	grant select on pg_backend_memory_contexts to public;

	create function fuzz.one_of(variadic items text[]) returns text language sql volatile return items[1 + floor(random() * cardinality(items))::int];

	-- A step of a session, which has an owner of its own in o-1, o-2, ...
	create procedure fuzz.step(session int) language plpgsql set search_path = public, pg_temp as $$
	declare
		what float := random();
		owner text := case when random() < 0.5 then 'acme' else 'o-' || session end;
		who text := fuzz.one_of('ann', 'ben', 'cyd', 'bot', 'eng', 'guest-' || (random() * 50)::int);
		hold uuid;
	begin
		if what < 0.25 then
			perform gov_consume(owner, 'tokens', (random() * 10)::int, jsonb_build_object('guestId', 'guest-' || (random() * 50)::int, 'model', 'gpt', 'teamId', 'eng'), array[who]);
		elsif what < 0.35 then
			perform gov_ingest(owner, 'tokens', (random() * 10 - 2)::int, null, array[who], case when random() < 0.5 then 'key-' || (random() * 500)::int end);
		elsif what < 0.45 then
			hold := (gov_reserve(owner, 'tokens', 1, null, array[who], ttl => fuzz.one_of('1 second', '5 seconds', '1 hour')::interval)).reservation_id;
			if hold is not null and random() < 0.9 then
				case when random() < 0.3 then perform gov_release(hold); when random() < 0.1 then perform gov_extend(hold, '2 seconds'); else perform gov_settle(hold, (random() * 3)::int); end case;
			end if;
		elsif what < 0.50 then
			perform gov_consume_all(owner, '{"tokens": 1, "dollars": {"input": 900, "output": 3}}', '{"model": "gpt"}', array[who]);
		elsif what < 0.55 then
			perform gov_consume_many((select jsonb_agg(jsonb_build_object('ownerId', owner, 'capabilityId', fuzz.one_of('tokens', 'calls', 'pooled'), 'entityIds', array[who], 'amount', n)) from generate_series(1, 20) n));
		elsif what < 0.60 then
			perform gov_ingest(owner, 'pooled', 1, null, array[who]);
		elsif what < 0.64 then
			perform gov_query(owner, search => who, page_size => 10), gov_report(owner), gov_allowed(owner, 'tokens', 1, null, array[who]);
		elsif what < 0.68 then
			insert into gov_entities (owner_id, id, type_id, parent_id) values (owner, 'temp-' || (random() * 100)::int, 'user', fuzz.one_of('eng', 'ops')) on conflict do nothing;
			delete from gov_entities e where e.owner_id = owner and e.id = 'temp-' || (random() * 100)::int;
		elsif what < 0.72 then
			update gov_assignments a set usage_limit = 1000000 + (random() * 1000)::int where a.owner_id = owner and a.entity_id = who and a.usage_limit is not null;
		elsif what < 0.75 then
			delete from gov_assignments a where a.owner_id = owner and a.name = 'soak';
			insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, alert_thresholds) values (owner, fuzz.one_of('ann', 'ben', 'eng'), 'tokens', 'soak', 100, fuzz.one_of('PT1S', 'PT5S', 'P1D', null), '{1,50,100}') on conflict do nothing;
		elsif what < 0.77 then
			update gov_default_assignments d set usage_limit = 1000 + (random() * 100)::int, cadence = fuzz.one_of('P1D', 'PT10S', null) where d.owner_id = owner;
		elsif what < 0.79 then
			delete from gov_boosts b where b.owner_id = owner;
			perform gov_boost(owner, 'ann', 'tokens', 5, gov_now() + interval '1 second');
		elsif what < 0.81 then
			perform gov_decide_increase(gov_request_increase(owner, 'ann', 'tokens', 1), random() < 0.5);
			delete from gov_boosts b where b.owner_id = owner;
		elsif what < 0.83 then
			perform gov_grant_credits(owner, 'acme', 'pooled', 1, gov_now() + interval '2 seconds', name => 'pool');
		elsif what < 0.85 then
			perform gov_block(owner, 'cyd', gov_now() + interval '1 second');
		elsif what < 0.87 then
			update gov_entities e set metadata = jsonb_build_object('n', (random() * 100)::int::text) where e.owner_id = owner and e.id = who;
		elsif what < 0.88 then
			perform gov_forget_entity(owner, e.id) from gov_entities e where e.owner_id = owner and e.created_by_use order by random() limit 1;
		elsif what < 0.89 then
			perform gov_recount(a.id) from gov_assignments a where a.owner_id = owner and a.name = '' and a.entity_id = 'ann' and a.capability_id = 'tokens';
		elsif what < 0.895 then
			perform gov_delete_owner('o-' || session);
			call fuzz.customer('o-' || session);
		elsif what < 0.90 then
			perform gov_drop_cache();
		elsif what < 0.91 then
			perform gov_move_entity(owner, 'ben', fuzz.one_of('eng', 'ops'));
		elsif what < 0.93 then
			perform gov_attribution(owner, 'tokens', '{user, model}', now() - interval '1 hour', now() + interval '1 hour', '1 hour');
		elsif what < 0.94 then
			perform count(*) from gov_budgets b where b.owner_id = owner;
		elsif what < 0.95 then
			perform gov_reverse(e.id) from gov_events e where e.owner_id = owner and e.amount > 0 order by e.id desc limit 1;
		elsif what < 0.96 then
			perform gov_backtest(owner, '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 5, "cadence": "PT1M"}]', now() - interval '1 minute', now());
		else
			begin
				perform gov_ingest(owner, 'tokens', 5, null, array[who]), gov_reserve(owner, 'tokens', 1, null, array['ann']);
				raise exception 'no';
			exception
				when raise_exception then
					null;
			end;
		end if;
	end $$;

	create procedure fuzz.steps(session int, n int) language plpgsql as $$
	begin
		for i in 1 .. n loop
			begin
				call fuzz.step(session);
			exception
				when query_canceled or others then
					-- what the history itself comes to, such as a budget that is gone; nothing else
					if sqlstate !~ '^(22023|23503|23505|23514|40001|40P01|42704|54000|55000|55P03|57014|GV001)$' then
						raise;
					end if;
			end;
			if random() < 0.7 then
				commit;
			elsif random() < 0.2 then
				rollback;
			end if;
		end loop;
	end $$;

	-- Cancels what some session is doing, again and again.
	create table fuzz.cancelled (n int);
	create procedure fuzz.cancel(seconds float) language plpgsql as $$
	declare
		n int := 0;
		session int;
	begin
		while clock_timestamp() < now() + seconds * interval '1 second' loop
			perform pg_stat_clear_snapshot(), pg_sleep(random() * 0.02);
			select a.pid into session from pg_stat_activity a where a.application_name like 'soak-%' and a.state = 'active' order by random() limit 1;
			if pg_cancel_backend(session) then
				n := n + 1;
			end if;
		end loop;
		insert into fuzz.cancelled values (n);
	end $$});
sql("call fuzz.customer('o-$_')") foreach 1 .. $SESSIONS;

# ---------------------------------------------------------------- sessions

# Each lives as long as the soak, says what memory it has, and goes on. Plans are left out: each statement has one once it has been met.
my $is_over = 0;
my $memory_sql = q{select 'memory ' || string_agg(name || '=' || bytes, ', ' order by bytes desc) from (select name, sum(used_bytes) as bytes from pg_backend_memory_contexts where name !~ '^(MessageContext|PortalContext|ExprContext|Executor|SPI|CachedPlan|PL.pgSQL|index info|relation rules)' group by 1) c};
my @sessions = map { start_session($_) } 1 .. $SESSIONS;

sub start_session
{
	my ($number) = @_;
	my $session = { number => $number, in => '', out => '', err => '', memory => [] };

	$session->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " application_name=soak-$number" ], '<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
	ask($session);
	return $session;
}

sub ask
{
	my ($session) = @_;

	$session->{in} .= 'set statement_timeout = ' . (rand() < 0.2 ? 1 + int(rand(20)) : 0) . ";\ncall fuzz.steps($session->{number}, 100);\nset statement_timeout = 0;\n$memory_sql;\n";
	return;
}

my $ended = 0;
my $watcher = GovSession->new($node, 'watcher');
my (@worker_memory, @samples);
my $canceller = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "set statement_timeout = 0; call fuzz.cancel($seconds)" ]);
my $began = time;
my $next_sample = $began + $seconds / 10;

sub sample
{
	my %sample = split /[|\n]/, $watcher->ask(q{
		select 'cache', value from gov_stats where name = 'cache_used_bytes'
		union all select c.relname, pg_total_relation_size(c.oid) from pg_class c where c.relname in ('gov_events', 'gov_usage', 'gov_usage_by_time', 'gov_reservations', 'gov_changes', 'gov_alerts', 'gov_denials', 'gov_default_counts', 'gov_limit_history')
		union all select 'locks', count(*) from pg_locks
		union all select 'worker', (select pid from pg_stat_activity where backend_type like 'governance%' limit 1)});

	# what the process has beside shared memory
	my $status = $sample{worker} && -r "/proc/$sample{worker}/status" ? slurp_file("/proc/$sample{worker}/status") : '';
	$sample{worker_kb} = $1 if $status =~ /RssAnon:\s+(\d+)/;
	push @samples, \%sample;
	return;
}

while (time < $began + $seconds)
{
	foreach my $session (@sessions)
	{
		eval { $session->{run}->pump_nb; 1 } or do { };
		if (!$session->{run}->pumpable)
		{
			eval { $session->{run}->finish };
			push @samples, { ended => $session->{err} };
			$session = start_session($session->{number});
			next;
		}
		ask($session) if ($session->{out} =~ s/^memory (.*)\n//m) && push @{ $session->{memory} }, { $1 =~ /([^,=]+)=(\d+)/g };
	}
	if (rand() < 0.002) { $ended++ if 't' eq $watcher->ask(q{select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'soak-1'}); }
	if (time > $next_sample) { sample(); $next_sample += $seconds / 10; }
	usleep(20_000);
}
foreach my $session (@sessions)
{
	$session->{in} .= "\\q\n";
	eval { IPC::Run::finish($session->{run}) };
}
sample();
IPC::Run::finish($canceller);
my $cancelled = sql('select n from fuzz.cancelled');
cmp_ok($cancelled, '>', $seconds, 'statements were cancelled');
note "$cancelled statements cancelled, $ended sessions ended";

# ---------------------------------------------------------------- what stayed level

my @errors = map { grep { /ERROR|PANIC/ && !/canceling statement/ } split /\n/, $_ } (map { $_->{err} } @sessions), map { $_->{ended} // () } @samples;
is(join("\n", @errors[ 0 .. ($#errors > 5 ? 5 : $#errors) ]), '', 'nothing fails but what the history comes to');
my @log = grep { /PANIC|TRAP|terminated by signal|WARNING: .*leak|XX00\d:/ } split /\n/, slurp_file($node->logfile);
is("@log[ 0 .. ($#log > 5 ? 5 : $#log) ]", '', 'the log is quiet');

# The most of the second half is not above that of the first, but for what a cache may add.
sub is_level
{
	my ($label, $slack, @values) = @_;
	my $half = int(@values / 2);
	my ($early) = sort { $b <=> $a } @values[ 0 .. $half - 1 ];
	my ($late) = sort { $b <=> $a } @values[ $half .. $#values ];

	note "$label: $early, then $late (" . @values . ' samples)';
	cmp_ok($late, '<', $early * 1.1 + $slack, "$label stays on its level");
	return;
}

@samples = grep { !exists $_->{ended} } @samples;
foreach my $session (@sessions)
{
	my ($first, $last) = @{ $session->{memory} }[ int(@{ $session->{memory} } / 2), -1 ];

	note "session $session->{number}, what has grown since the half: " . join ', ', map { "$_ by " . ($last->{$_} - ($first->{$_} // 0)) . " to $last->{$_}" } grep { $last->{$_} - ($first->{$_} // 0) > 10000 } sort keys %$last;
}
is_level("memory of session $_->{number}", 500_000, map { sum(values %$_) } @{ $_->{memory} }) foreach grep { @{ $_->{memory} } >= 6 && $_->{number} != 1 } @sessions;
is_level('memory of the worker in kB', 4000, map { $_->{worker_kb} // () } @samples);
is_level('the cache', 200_000, map { $_->{cache} } @samples);
is_level("$_ on disk", 4_000_000, map { $_->{$_} } @samples[ 2 .. $#samples ]) foreach $seconds > 300 ? sort grep { /^gov/ } keys %{ $samples[0] } : ();

# ---------------------------------------------------------------- the end

sql(q{select gov_release(id) from gov_reservations where state = 'open'});
gov_roll_up($node, 'postgres');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');
is(sql('select count(*) from gov_cached_counters() where is_pinned'), '0', 'nothing stays in flight');
$watcher->close;
$node->restart;
is(sql('select * from gov_verify()'), '', 'nor when all is read again');
$node->stop;
done_testing();
