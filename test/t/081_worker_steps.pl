# What users put on the tables may stop a step of the worker, or of gov_maintain: the others go on, gov_stats says what stops it, the
# worker stays and tries again later, and says so in the log once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('worker_steps', conf => <<CONF);
governance.rollup_interval = '50ms'
governance.event_retention = '1s'
CONF
my $worker = "select pid from pg_stat_activity where backend_type like 'governance%' and datname = 'postgres'";
my $rolled_up = 'select watermark = (select max(id) from gov_events) from gov_rollup_state';

# Events are deleted here.
sub is_exact { my ($label) = @_; is($node->safe_psql('postgres', 'select * from gov_verify()'), '', "$label: gov_verify finds nothing"); return; }

sub fact { my ($name) = @_; return $node->safe_psql('postgres', "select value > 0, detail from gov_stats where name = '$name'"); }

sub errors_in_log { my ($pattern) = @_; return scalar(() = slurp_file($node->logfile) =~ /ERROR:  [^\n]*$pattern/g); }

gov_build($node, 'postgres');
is($node->safe_psql('postgres', q{select string_agg(name || '=' || value, ' ' order by name) from gov_stats where name ~ '_failures$'}),
	'alert_retention_failures=0 change_retention_failures=0 defaults_failures=0 denial_retention_failures=0 denials_failures=0 event_retention_failures=0 expiry_failures=0 forgetting_failures=0 hold_retention_failures=0 rollup_failures=0 usage_merge_failures=0 usage_retention_failures=0', 'nothing stops anything');

# ---------------------------------------------------------------- a trigger on the ledger stops its retention

$node->safe_psql('postgres', q{
	create function protect() returns trigger language plpgsql as $$ begin raise 'this event is for ever' using errcode = 'P0041'; end $$;
	create trigger protect before delete on gov_events for each row execute function protect()});
gov_use($node, 'postgres', 3);
ok($node->poll_query_until('postgres', q{select value > 0 and detail ~ '^P0041 since .*: this event is for ever' from gov_stats where name = 'event_retention_failures'}),
	'gov_stats says what stops the retention of events');
my $pid = $node->safe_psql('postgres', $worker);
gov_use($node, 'postgres', 4);
ok($node->poll_query_until('postgres', $rolled_up), 'the rollup goes on');
$node->safe_psql('postgres', q{
	select gov_release(reservation_id) from gov_reserve('acme', 'tokens', 5, null, '{agent-1}');
	select 1 from gov_reserve('acme', 'tokens', 5, null, '{agent-1}', null, '10 milliseconds')});
ok($node->poll_query_until('postgres', q{select not exists (select from gov_reservations where state = 'open')}), 'holds expire');
ok($node->poll_query_until('postgres', 'select count(*) = 0 from gov_reservations'), 'those that have ended are deleted');
ok($node->poll_query_until('postgres', q{select failures >= 3 from gov_worker_failures() where step = 'event_retention'}), 'it is tried again');
is($node->safe_psql('postgres', $worker), $pid, 'by the same worker');
is(errors_in_log('this event is for ever'), 1, 'the log is told once');
is($node->safe_psql('postgres', q{select since < last_at and last_at <= now() from gov_worker_failures() where step = 'event_retention'}), 't', 'since when, and when last');
is(fact('rollup_failures'), 'f|', 'the others are well');
is_exact('with a trigger on the ledger');

# gov_maintain does what it can, and says what it could not.
gov_use($node, 'postgres', 5);
my ($ret, $stdout, $stderr) = $node->psql('postgres', q{select waits_for ~ 'event_retention \(P0041\)' from gov_maintain()}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
is("$ret $stdout", '0 t', 'gov_maintain names the step');
like($stderr, qr/WARNING:  P0041: step "event_retention" of gov_maintain\(\) failed: this event is for ever/, 'and warns');
is_exact('after gov_maintain');

# When the cause is gone, so is the failure, and nobody has to call.
$node->safe_psql('postgres', 'drop trigger protect on gov_events');
ok($node->poll_query_until('postgres', q{select value = 0 and detail is null from gov_stats where name = 'event_retention_failures'}), 'it works again by itself');
ok($node->poll_query_until('postgres', 'select count(*) = 0 from gov_events'), 'and deletes');
like(slurp_file($node->logfile), qr/LOG:  step "event_retention" of the governance worker works again after \d+ failures/, 'which the log says');
ok($node->poll_query_until('postgres', "select not exists ($worker)"), 'then the worker leaves when idle');

# ---------------------------------------------------------------- a trigger on what the rollup writes stops it

$node->safe_psql('postgres', q{
	alter system set governance.event_retention = 0; select pg_reload_conf();
	create function refuse() returns trigger language plpgsql as $$ begin raise 'no % today', tg_table_name using errcode = 'P0042'; end $$;
	create trigger refuse before insert on gov_usage for each row execute function refuse()});
gov_use($node, 'postgres', 6);
ok($node->poll_query_until('postgres', q{select value > 0 and detail ~ '^P0042 since .*: no gov_usage today' from gov_stats where name = 'rollup_failures'}), 'gov_stats says what stops the rollup');
$pid = $node->safe_psql('postgres', $worker);
$node->safe_psql('postgres', q{select 1 from gov_reserve('acme', 'tokens', 5, null, '{agent-1}', null, '10 milliseconds')});
ok($node->poll_query_until('postgres', q{select not exists (select from gov_reservations where state = 'open')}), 'holds expire all the same');
is_exact('without a rollup');

# Another error is news; the same again is not.
$node->safe_psql('postgres', q{
	create or replace function refuse() returns trigger language plpgsql as $$ begin raise 'nor % now', tg_table_name using errcode = 'P0043'; end $$});
ok($node->poll_query_until('postgres', q{select detail ~ '^P0043 ' from gov_stats where name = 'rollup_failures'}), 'another error takes its place');
is(errors_in_log('no gov_usage today') . errors_in_log('nor gov_usage now'), '11', 'each is told once');
is($node->safe_psql('postgres', $worker), $pid, 'the worker is the same');
$node->safe_psql('postgres', 'drop trigger refuse on gov_usage');
ok($node->poll_query_until('postgres', $rolled_up), 'it rolls up by itself');
ok($node->poll_query_until('postgres', q{select value = 0 from gov_stats where name = 'rollup_failures'}), 'and gov_stats forgets');

# ---------------------------------------------------------------- a column that was renamed stops the expiry

$node->safe_psql('postgres', q{
	select 1 from gov_reserve('acme', 'tokens', 60, null, '{agent-1}', null, '1 second');
	alter table gov_reservations rename column expires_at to ends_at});
ok($node->poll_query_until('postgres', q{select value > 0 and detail ~ '^[0-9A-Z]{5} since .*: ' from gov_stats where name = 'expiry_failures'}), 'gov_stats says what stops the expiry');
gov_use($node, 'postgres', 7);
ok($node->poll_query_until('postgres', $rolled_up), 'the rollup goes on');
$node->safe_psql('postgres', 'alter table gov_reservations rename column ends_at to expires_at');
ok($node->poll_query_until('postgres', q{select not exists (select from gov_reservations where state = 'open')}), 'it works again by itself');
ok($node->poll_query_until('postgres', q{select value = 0 from gov_stats where name = 'expiry_failures'}), 'and gov_stats forgets');
is_exact('at the end');

$node->stop;
done_testing();
