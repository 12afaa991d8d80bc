# gov_changes: what a hundred thousand rows cost, who is named, what its retention deletes, and that neither a restore nor
# replication adds a row (012_dump.pl and 008_subscriber.pl compare the rows themselves).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

# No worker at first: gov_maintain does its work.
my $node = gov_node('changes', conf => <<CONF);
max_worker_processes = 0
shared_buffers = 256MB
max_wal_size = 4GB
autovacuum = off
CONF
my $dir = PostgreSQL::Test::Utils::tempdir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# ---------------------------------------------------------------- a hundred thousand budgets

my $n = 100_000;

sql(qq{
	insert into gov_entity_types (id) values ('team');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) select 'acme', 'team-' || n, 'team' from generate_series(1, $n) n});
sql(qq{copy (select 'acme', 'team-' || n, 'tokens', 1000 + n, 'P1M' from generate_series(1, $n) n) to '$dir/budgets'});

my $session = $node->background_psql('postgres', on_error_stop => 0);

# What COPY costs with its triggers, which EXPLAIN counts when a function runs it.
gov_ask($session, q{create function pg_temp.load(statement text) returns void language plpgsql as 'begin execute statement; end'});

sub copy_cost
{
	return gov_cost($session, "select pg_temp.load('copy gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) from ''$dir/budgets''')",
		@_);
}

my $plain = copy_cost(
	before => 'begin; alter table gov_assignments disable trigger gov_assignments_logged_insert',
	after => 'rollback');
my $logged = copy_cost();

note sprintf 'COPY of %d budgets: %d blocks instead of %d, %d MB of WAL instead of %d', $n, $logged->{blocks}, $plain->{blocks}, $logged->{wal} >> 20, $plain->{wal} >> 20;
cmp_ok($logged->{blocks}, '<=', 1.5 * $plain->{blocks}, 'COPY of 100,000 budgets touches at most half again as many blocks');
cmp_ok($logged->{wal}, '<=', 1.75 * $plain->{wal}, 'and writes little more WAL than its rows');
is(sql(q{select count(*), count(distinct key), count(distinct at), min((new ->> 'usage_limit')::int), max((new ->> 'usage_limit')::int) from gov_changes where table_name = 'gov_assignments' and action = 'INSERT'}),
	"$n|$n|1|1001|101000", 'each has its row');
is(sql('select count(*) from gov_limit_history'), '0', 'and no limit was replaced');

# An UPDATE of all, which writes a former limit for each row too, and a DELETE. Their CPU, which a test cannot rely on, is half
# again as much; of blocks they look at a few more for each row.
sub change_cost
{
	my ($statement, @history) = @_;
	my $off = join('', map { "; alter table gov_assignments disable trigger gov_assignments_$_" } @history);

	return map { gov_cost($session, "select pg_temp.load('$statement')", before => "begin$_", after => 'rollback') } $off, '';
}

foreach (
	[ 'update gov_assignments set usage_limit = usage_limit + 1', 1.7, 'logged_update', 'limits' ],
	[ 'delete from gov_assignments', 2.1, 'logged_delete', 'limits_gone' ])
{
	my ($statement, $most, @history) = @$_;
	my ($off, $on) = change_cost($statement, @history);

	note sprintf '%s: %d blocks instead of %d', $statement, $on->{blocks}, $off->{blocks};
	cmp_ok($on->{blocks}, '<=', $most * $off->{blocks}, "at most $most times as many blocks: $statement");
}

sql('update gov_assignments set usage_limit = usage_limit + 1');
is(sql(q{select count(*), count(*) filter (where (old ->> 'usage_limit')::int + 1 = (new ->> 'usage_limit')::int) from gov_changes where action = 'UPDATE'}),
	"$n|$n", 'an UPDATE of all is a row for each');
is(sql('select count(*), count(distinct assignment_id), count(distinct replaced_at), sum(usage_limit) from gov_limit_history'), "$n|$n|1|5100050000",
	'and so is each limit that it replaced');
sql(q{begin; delete from gov_assignments where entity_id like 'team-1%'; commit});
is(sql('select count(*) from gov_limit_history h where not exists (select from gov_assignments a where a.id = h.assignment_id)'), '0',
	'the limits of deleted budgets are gone');
is(sql('select count(*) from gov_limit_history') + sql(q{select count(*) from gov_changes where action = 'DELETE'}), $n, 'those of the others are not');

# A single change of a customer's limit reads a bounded part of all that.
my $limit = q{select count(*) from gov_limit_at((select id from gov_assignments where owner_id = 'acme' and entity_id = 'team-20'), now())};
my $change = q{update gov_assignments set usage_limit = usage_limit + 1 where owner_id = 'acme' and entity_id = 'team-20'};

foreach my $sql ($limit, $change)
{
	gov_ask($session, $sql) foreach 1 .. 2;
	cmp_ok(gov_blocks($session, $sql), '<=', 60, "few blocks: $sql");
}

# ---------------------------------------------------------------- who

sql(q{
	create role alice login; create role support; grant support to alice;
	select gov_grant('support', 'admin')});
$node->safe_psql('postgres', q{
	set role support;
	set governance.reason = 'asked by phone';
	select gov_upsert_assignments('acme', '[{"entityId": "team-20", "capabilityId": "tokens", "usageLimit": 5}]')},
	extra_params => [ '-U', 'alice' ]);
is(sql(q{select changed_by, changed_as, reason, new from gov_changes order by id desc limit 1}), 'alice|support|asked by phone|{"usage_limit": 5}',
	'who was logged in, as which role, and why');
$node->safe_psql('postgres', q{select gov_delete_owner('acme')}, extra_params => [ '-U', 'alice' ]);
is(sql(q{select changed_by, changed_as, action, key from gov_changes order by id desc limit 1}), 'alice|alice|DELETE OWNER|{"owner_id": "acme"}',
	'also of what the engine deletes as its owner');
is(sql(q{select count(*) from gov_changes where owner_id is not null}), '0', 'which takes the changes of the owner along');

# ---------------------------------------------------------------- retention

sql(q{
	insert into gov_entities (owner_id, id, type_id) select 'globex', 'team-' || n, 'team' from generate_series(1, 20000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('globex', 'team-1', 'tokens', 10)});
my $made = sql('select gov_now()');
sql(q{update gov_assignments set usage_limit = 20 where owner_id = 'globex'});

sub configure
{
	my ($settings, $shown) = @_;

	$node->append_conf('postgresql.conf', $settings);
	$node->reload;
	$node->poll_query_until('postgres', $shown) or die "not in force: $settings\n";
	return;
}

sub maintain { return sql(q{select concat_ws(' ', pruned, waits_for) from gov_maintain()}); }

# Requests for more: one that was withdrawn, one that was declined, and one that is open.
sql(q{select gov_withdraw_increase(gov_request_increase('globex', 'team-1', 'tokens', 5))});
sql(q{select gov_decide_increase(gov_request_increase('globex', 'team-1', 'tokens', 6), false)});
sql(q{select gov_request_increase('globex', 'team-1', 'tokens', 7)});

my $all = sql('select count(*) + 2 from gov_changes');

is(maintain(), '0', 'nothing is deleted unless a setting says so');
configure(q{governance.change_retention = '1h'}, q{select current_setting('governance.change_retention') = '1h'});
is(maintain(), '0', 'nothing is due yet');
configure(q{governance.clock_offset = '1d'}, q{select gov_now() > now() + interval '1 hour'});
sql(q{update gov_assignments set usage_limit = 30 where owner_id = 'globex'});
is(maintain(), $all, 'what is due is deleted');
is(sql('select string_agg(amount::text, $$ $$) from gov_increase_requests'), '7', 'so are requests that were answered or withdrawn');
is(sql('select count(*), min(action) from gov_changes'), '1|UPDATE', 'the rest stays');
is(maintain(), '0', 'and there is no more');
is(sql(qq{select gov_limit_at(id, '$made') from gov_assignments where owner_id = 'globex'}), '10', 'the history of limits has no retention');

# The worker does it by itself.
configure(q{governance.clock_offset = '2d'}, q{select gov_now() > now() + interval '25 hours'});
$node->append_conf('postgresql.conf', "max_worker_processes = 8\ngovernance.rollup_interval = '50ms'");
$node->restart;
sql(q{select gov_ingest('globex', 'tokens', 1, null, '{team-1}')});
ok($node->poll_query_until('postgres', 'select count(*) = 0 from gov_changes'), 'the worker deletes what is due');
is(sql('select * from gov_setup_check()'), '', 'nothing of the extension is missing');

$node->stop;
done_testing();
