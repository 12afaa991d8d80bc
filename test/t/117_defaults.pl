# Budgets by a default where they are stored, and where there are many: 64 sessions that use one first at once share its count, also of
# users that they create; after
# a crash, on a standby, after a promotion, from a dump and with every cache lost the counts are the same; a default costs nothing for
# entities that nobody uses, a first use reads as little among 300,000 entities as among a few, and a changed default writes one row.

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

my $node = gov_node('defaults', init => { allows_streaming => 1 }, conf => "max_connections = 100\nrestart_after_crash = on\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	insert into gov_entity_types (id, attribution_keys) values ('org', '{org}'), ('user', '{user}'), ('model', '{model}');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'org'), ('acme', 'gpt', 'model'), ('acme', 'opus', 'model');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'u' || n, 'user', 'root' from generate_series(1, 40) n;
	insert into gov_default_assignments (type_id, capability_id, usage_limit) values ('user', 'tokens', 100);
	insert into gov_default_assignments (owner_id, type_id, capability_id, scope_type_ids, usage_limit) values ('acme', 'user', 'tokens', '{model}', 70)});

# ---------------------------------------------------------------- 64 sessions first at once

# What each client does, in transactions of two users in either order, some of which roll back.
my $script = PostgreSQL::Test::Utils::tempdir . '/clients.sql';
append_to_file($script, <<'SQL');
\set a random(1, 40)
\set b random(1, 40)
\set m random(0, 1)
begin;
select is_granted from gov_consume('acme', 'tokens', 3, null, array['u' || :a, (array['gpt', 'opus'])[:m + 1]]);
select is_granted from gov_consume('acme', 'tokens', 2, null, array['u' || :b]);
\if :m
commit;
\else
rollback;
\endif
SQL
my @clients = map {
	my ($out, $err) = ('', '');
	IPC::Run::start([ 'pgbench', '-n', '-c', 32, '-j', 2, '-t', 40, '-M', 'simple', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ], \undef, \$out, \$err);
} 1 .. CLIENTS / 32;
ok(IPC::Run::finish($_), 'the clients end') foreach @clients;

# What the ledger says that each budget has had at most, and now.
my $OVER = q{
	select count(*)
	from gov_used_assignments u
	join lateral (select sum(e.amount) as amount from gov_events e where e.counter_ids @> array[u.counter_id]) l on true
	where l.amount > u.usage_limit};
is(sql($OVER), '0', 'no limit is passed');
is(sql(q{select count(*) from gov_used_assignments u where source = 'default' group by u.id having count(*) > 1}), '', 'each budget is shown once');
is(sql(q{select count(*) > 0 from gov_default_counts group by assignment_id having count(distinct counter_id) > 1}), '', 'and has one counter');

sub exact
{
	my ($server, $label) = @_;

	is($server->safe_psql('postgres', q{
		select u.entity_id, u.scope_entity_ids, h.current_usage, l.amount
		from gov_used_assignments u
		cross join lateral (select coalesce(sum(e.amount), 0) as amount from gov_events e where e.counter_ids @> array[u.counter_id]) l
		cross join lateral gov_headroom('acme', 'tokens', 0, null, u.entity_id || u.scope_entity_ids) h
		where h.entity_id = u.entity_id and h.scope_entity_ids = u.scope_entity_ids and h.current_usage <> l.amount}), '', "$label: the counts are the ledger's");
	is($server->safe_psql('postgres', 'select * from gov_verify()'), '', "$label: gov_verify finds nothing");
	return;
}

exact($node, 'at once');
gov_roll_up($node, 'postgres');
ok($node->poll_query_until('postgres', 'select not exists (select from gov_default_counts where is_new) from gov_maintain()'), 'the worker tidies up');
is(sql('select count(*) = count(distinct counter_id) from gov_default_counts'), 't', 'a row for each');
exact($node, 'rolled up');

sub answers
{
	my ($server) = @_;

	return $server->safe_psql('postgres', q{
		select n, m, is_granted, denied_reason, remaining, chains from generate_series(1, 40) n, unnest('{gpt,opus}'::text[]) m, gov_check('acme', 'tokens', 1, null, array['u' || n, m]) order by 1, 2});
}
my $answers = answers($node);

# ---------------------------------------------------------------- 64 sessions first at once, of users that nobody has made yet

# All begin with the same ids, in one order: several in a transaction, some of which roll back.
sql(q{update gov_entity_types set on_unknown = 'create', parent_key = 'org' where id = 'user'});
my $new = PostgreSQL::Test::Utils::tempdir . '/new.sql';
append_to_file($new, <<'SQL');
\set a random(1, 40)
\set b :a + random(0, 3)
\set m random(0, 2)
begin;
select is_granted from gov_consume('acme', 'tokens', 3, jsonb_build_object('user', 'new' || :a, 'org', 'root', 'model', (array['gpt', 'opus', 'none'])[:m + 1]));
select is_granted from gov_consume('acme', 'tokens', 2, jsonb_build_object('user', 'new' || :b, 'org', 'root'));
\if :m
commit;
\else
rollback;
\endif
SQL
@clients = map {
	my ($out, $err) = ('', '');
	IPC::Run::start([ 'pgbench', '-n', '-c', 32, '-j', 2, '-t', 60, '-M', 'simple', '-f', $new, '-h', $node->host, '-p', $node->port, 'postgres' ], \undef, \$out, \$err);
} 1 .. CLIENTS / 32;
ok(IPC::Run::finish($_), 'the clients that create end') foreach @clients;
my $USED = q{select sum(e.amount) from gov_used_assignments u join gov_events e on e.counter_ids @> array[u.counter_id] where u.entity_id ~ '^new' and u.scope_entity_ids = '{}' group by u.entity_id order by 1 desc limit 1};
cmp_ok(sql($USED), '>=', 98, 'limits are reached');
is(sql($OVER), '0', 'and none is passed');
is(sql(q{select count(*) from gov_entities e where e.created_by_use and not exists (select from gov_used_assignments u where u.entity_id = e.id)}), '0', 'each has the budget of its type');
is(sql(q{select count(*) > 0 from gov_default_counts group by assignment_id having count(distinct counter_id) > 1}), '', 'of one counter');
exact($node, 'created at once');
gov_roll_up($node, 'postgres');
exact($node, 'created and rolled up');

# what nobody has used is answered so everywhere; what a crash takes is not there
my $hire = q{select is_granted, denied_reason, chains from gov_check('acme', 'tokens', 101, '{"user": "hire", "org": "root"}'), generate_series(1, 2)};
my $shown = sql($hire);
like($shown, qr/^f\|RequestedUsageExceedingLimit\|.*"hire"/, 'a user to be');
is(sql("set governance.use_cache = off; $hire"), $shown, 'the same from the tables');
my $taken = $node->background_psql('postgres', on_error_stop => 0);
$taken->query_safe(q{begin; select gov_consume('acme', 'tokens', 60, '{"user": "hire", "org": "root"}')});
is(sql($hire), $shown, 'another session does not see what is not committed');
$node->stop('immediate');
eval { $taken->quit };
$node->start;
is(sql($hire), $shown, 'after a crash nothing is used');
is(sql(q{select is_granted, remaining from gov_consume('acme', 'tokens', 60, '{"user": "hire", "org": "root"}')}), 't|40', 'and it is created then');
is(sql(q{select is_granted, remaining from gov_consume('acme', 'tokens', 60, '{"user": "hire", "org": "root"}')}), 'f|40', 'once');
exact($node, 'created after a crash');

# ---------------------------------------------------------------- a crash

my $open = $node->background_psql('postgres', on_error_stop => 0);
sql(q{insert into gov_entities (owner_id, id, type_id) select 'acme', 'v' || n, 'user' from generate_series(1, 20) n});
sql(qq{select gov_ingest('acme', 'tokens', $_, null, array['v$_', 'gpt'])}) foreach 1 .. 10;
$open->query_safe(q{begin; select gov_ingest('acme', 'tokens', 50, null, array['v1', 'opus']), gov_ingest('acme', 'tokens', 50, null, '{v20}')});
$node->stop('immediate');
$node->start;
is(answers($node), $answers, 'a crash: the same answers');
is(sql(q{select string_agg(remaining::text, ' ' order by n) from generate_series(1, 10) n, gov_check('acme', 'tokens', 0, null, array['v' || n])}), '99 98 97 96 95 94 93 92 91 90', 'what was committed before it');
is(sql(q{select count(*) from gov_default_counts where entity_id = 'v20'}), '0', 'and nothing of what was not');
exact($node, 'after a crash');

# ---------------------------------------------------------------- a standby, and its promotion

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sql(q{select gov_ingest('acme', 'tokens', 5, null, '{v11,gpt}')});
sql(q{update gov_default_assignments set usage_limit = 71 where usage_limit = 70});
$node->wait_for_catchup($standby);
$answers = answers($node);
is(answers($standby), $answers, 'a standby answers the same');
is($standby->safe_psql('postgres', q{select is_granted, remaining from gov_check('acme', 'tokens', 1, null, '{v19,opus}')}), 't|71', 'also of one that nobody has used');
my $to_be = q{select is_granted, denied_reason, chains from gov_check('acme', 'tokens', 72, '{"user": "to-be", "model": "gpt"}')};
like($standby->safe_psql('postgres', $to_be), qr/^f\|RequestedUsageExceedingLimit\|.*"gpt"/, 'also of one that nobody has created');
is($standby->safe_psql('postgres', $to_be), sql($to_be), 'as the primary does');
is($standby->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify there');
$standby->promote;
is(answers($standby), $answers, 'promoted, it answers the same');
is($standby->safe_psql('postgres', q{select is_granted, remaining from gov_consume('acme', 'tokens', 65, null, '{v11,gpt}')}), 't|1', 'and goes on');
exact($standby, 'promoted');
$standby->stop;

# ---------------------------------------------------------------- a dump

my $dump = PostgreSQL::Test::Utils::tempdir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
my $copy = gov_node('copy', extension => 0);
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $copy->connstr('postgres') ], 'restore');
is(answers($copy), $answers, 'the copy answers the same');
is($copy->safe_psql('postgres', q{select is_granted, remaining from gov_consume('acme', 'tokens', 65, null, '{v11,gpt}')}), 't|1', 'and goes on');
is($copy->safe_psql('postgres', q{select * from gov_default_counts order by counter_id}) eq sql('select * from gov_default_counts order by counter_id') ? 't' : 'f', 't', 'with the same rows');
exact($copy, 'restored');
is($copy->safe_psql('postgres', 'select * from gov_setup_check()'), '', 'restored: nothing is missing');
$copy->stop;

# ---------------------------------------------------------------- many entities

# Blocks that a statement reads, in a new session that has read the catalogs before, for the first use of somebody else.
my $others = 0;

sub blocks
{
	my ($statement) = @_;
	my $other = 'x' . ++$others;
	my $plan = sql(qq{
		insert into gov_entities (owner_id, id, type_id) values ('acme', '$other', 'user');
		select count(*) from gov_consume('acme', 'tokens', 0, null, '{$other}');
		explain (analyze, buffers, costs off, timing off, summary off) $statement});

	my ($hit) = $plan =~ /Buffers: shared hit=(\d+)/;
	my ($read) = $plan =~ /Buffers: shared(?: hit=\d+)? read=(\d+)/;
	return ($hit // 0) + ($read // 0);
}
gov_roll_up($node, 'postgres');
my $few = blocks(q{select is_granted from gov_consume('acme', 'tokens', 1, null, '{v12}')});
sql(q{insert into gov_entities (owner_id, id, type_id) select 'acme', 'w' || n, 'user' from generate_series(1, 300000) n});
sql('vacuum analyze gov_entities');
is(sql(q{select count(*) from gov_default_counts where entity_id ~ '^w'}), '0', 'a default costs entities nothing that nobody uses');
my $many = blocks(q{select is_granted from gov_consume('acme', 'tokens', 1, null, '{w123456}')});
cmp_ok($many, '<=', $few + 15, "a first use reads $many blocks among many, $few among few");
cmp_ok($few, '<=', 60, 'which is not much');
my $before = sql('select pg_current_wal_insert_lsn()');
sql('update gov_default_assignments set usage_limit = 99 where owner_id is null');
cmp_ok(sql("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')"), '<', 100000, 'a changed default writes little');
is(sql(q{select remaining from gov_check('acme', 'tokens', 0, null, '{w123456}')}), '98', 'and reaches all');

# A deleted one goes with all that it had.
sql('delete from gov_default_assignments');
is(sql(q{select chains from gov_check('acme', 'tokens', 0, null, '{u1,gpt}')}), '[]', 'a deleted default');
ok($node->poll_query_until('postgres', 'select not exists (select from gov_default_counts) from gov_maintain()'), 'the worker deletes its rows');
is(sql('select count(*) from gov_usage where counter_id < 0'), '0', 'and what they had used');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');

$node->stop;
done_testing();
