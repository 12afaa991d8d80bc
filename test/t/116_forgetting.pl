# Forgetting somebody takes batches: what is shown meanwhile, what is recorded under the same id meanwhile, a crash in between, and
# a row that somebody has locked. Rounds are those that are asked for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant EVENTS => 5000;	# more than a batch

my $node = gov_node('forgetting', conf => "max_worker_processes = 0\nrestart_after_crash = on");

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub is_sql { my ($sql, $expected, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; is(sql($sql), $expected, $name); return; }

gov_build($node, 'postgres', agents => 3, limit => 1000000);
sql("select count(gov_ingest('acme', 'tokens', 1, jsonb_build_object('agentId', 'agent-' || n % 2 + 1), null, 'key-' || n)) from generate_series(1, @{[EVENTS]}) n");
gov_roll_up($node, 'postgres');
my $counts = gov_counts($node, 'postgres');
my $locked = sql(q{select id from gov_events where 'agent-1' = any (entity_ids) order by id offset 2000 limit 1});
my $by_agent = q{select group_key ->> 'agent', trim_scale(amount) from gov_attribution('acme', 'tokens', '{agent}', '-infinity', 'infinity') order by 1};
my $by_hour = q{select entity_id, trim_scale(sum(amount)) from gov_usage_hourly where owner_id = 'acme' and entity_id ~ '^(agent-1|gone|agent-2)$' group by 1 order by 1};

# Somebody has locked an event. Nobody waits for that.
is_sql(q{select gov_forget_entity('acme', 'agent-1', 'gone')}, 'gone', 'forgotten');
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe("begin; select id from gov_events where id = $locked for no key update");
sql("set statement_timeout = '60s'; select gov_maintain()") foreach 1 .. 3;
is_sql("select events_done_until = $locked - 1, hours_done_until from gov_forgotten", 't|-infinity', 'a locked event ends the batch');
is_sql(q{select value, detail ~ 'ids of events are left' from gov_stats where name = 'forgetting'}, '1|t', 'gov_stats says that there is more to do');
is_sql($by_agent, "agent-2|2500\ngone|2500", 'a report shows the new id');
is_sql($by_hour, "agent-2|2500\ngone|2500", 'so do the hours');
is_sql(q{select string_agg(distinct dimensions ->> 'agentId', ' ' order by dimensions ->> 'agentId') from gov_event_log}, 'agent-2 gone', 'and the log');
is(join(' ', sort split / /, gov_counts($node, 'postgres', agent => 'gone') =~ s/gone/agent-1/r), $counts, 'the counts are those of before');

# A crash: the batches that were committed stay.
my $done = sql(q{select count(*) from gov_events where 'gone' = any (entity_ids)});
cmp_ok($done, '>', 1000, 'a part is rewritten');
eval { $session->quit };
$node->stop('immediate');
$node->start;
is_sql(q{select count(*) from gov_events where 'gone' = any (entity_ids)}, $done, 'it is after a crash');
is_sql($by_agent, "agent-2|2500\ngone|2500", 'reports go on');

# Somebody else takes the id, while it is still in the ledger.
$session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe("begin; select id from gov_events where id = $locked for no key update");
sql(q{
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'agent-1', type_id, parent_id from gov_entities where id = 'agent-2';
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'agent-1', 'tokens', 100);
	select gov_ingest('acme', 'tokens', 7, '{"agentId": "agent-2"}');
	select gov_ingest('acme', 'tokens', 40, '{"agentId": "agent-1"}')});
sql('select gov_maintain()') foreach 1 .. 3;
is_sql(q{select max(id) - (select watermark from gov_rollup_state) from gov_events}, 1, 'the rollup waits before the first use of another one of that id');
is_sql($by_agent, "agent-1|40\nagent-2|2507\ngone|2500", 'reports tell them apart');
is_sql($by_hour, "agent-2|2507\ngone|2500", 'the hours have nothing of the second yet');
is_sql(q{select trim_scale(current_usage) from gov_headroom('acme', 'tokens', 0, null, '{agent-1}') where entity_id = 'agent-1'}, 40, 'a budget counts it at once');

# Forgotten again, in between.
is_sql(q{select gov_forget_entity('acme', 'agent-1', 'gone too')}, 'gone too', 'forgotten as well');
is_sql($by_agent, "agent-2|2507\ngone|2500\ngone too|40", 'reports tell them apart under their new ids');
$session->query_safe('commit');
$session->quit;
ok($node->poll_query_until('postgres', q{select events_left = 0 and not exists (select from gov_forgotten) from gov_maintain()}), 'all is rewritten');
is_sql(q{select count(*) from gov_events e where e::text ~ '\magent-1\M'}, 0, 'nothing has the id');
is_sql(q{select count(*) from gov_usage_by_time u where u::text ~ '\magent-1\M'}, 0, 'nor the hours');
is_sql($by_agent, "agent-2|2507\ngone|2500\ngone too|40", 'reports are as before');
is_sql($by_hour =~ s/gone/gone.*/r, "agent-2|2507\ngone|2500\ngone too|40", 'so are the hours');
is_sql('select count(*) from gov_verify()', 0, 'and all counts');
is_sql(q{select is_duplicate from gov_ingest('acme', 'tokens', 99, '{"agentId": "gone"}', null, 'key-2')}, 't', 'a key of its events is answered without comparison');
is_sql(q{select value from gov_stats where name = 'forgetting'}, 0, 'nothing is left to do');

# An administrator may, and no other profile.
sql(q{create role boss; create role gate; select gov_grant('boss', 'admin'), gov_grant('gate', 'app')});
is_sql(q{set role boss; select gov_forget_entity('acme', 'agent-2', 'gone as well')}, 'gone as well', 'an administrator forgets');
gov_raises($node, 'postgres', q{set role gate; select gov_forget_entity('acme', 'agent-3')}, '42501', 'an application does not');
ok($node->poll_query_until('postgres', q{select events_left = 0 and not exists (select from gov_forgotten) from gov_maintain()}), 'all of that is rewritten');
is_sql($by_agent, "gone|2500\ngone as well|2507\ngone too|40", 'and shown');

# A key of a user's own table follows, if it says so.
sql(q{
	create table badges (owner_id text collate "C", agent text collate "C", foreign key (owner_id, agent) references gov_entities (owner_id, id));
	insert into badges values ('acme', 'agent-3')});
gov_raises($node, 'postgres', q{select gov_forget_entity('acme', 'agent-3', 'x')}, '23503', 'a foreign key that keeps the id');
sql(q{alter table badges drop constraint badges_owner_id_agent_fkey, add foreign key (owner_id, agent) references gov_entities (owner_id, id) on update cascade});
is_sql(q{select gov_forget_entity('acme', 'agent-3', 'x'); select agent from badges}, "x\nx", 'one that follows');

$node->stop;
done_testing();
