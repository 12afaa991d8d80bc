# Entities that uses create: many sessions at once, rollbacks, killed sessions and servers, the bound and who may set it, a standby,
# read-only transactions, a restart; and what a first use reads, however many there are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovGrowth;
use GovTest;

my $node = gov_node('first', init => { allows_streaming => 1 }, conf => "restart_after_crash = on\nautovacuum = off");
my $dir = PostgreSQL::Test::Utils::tempdir;

gov_build($node, 'postgres', limit => 1000000);
$node->safe_psql('postgres', q{
	update gov_entity_types set on_unknown = 'create', parent_key = 'teamId' where id = 'user';
	update gov_entity_types set on_unknown = 'deny' where id = 'agent'});

sub created { return $node->safe_psql('postgres', q{select count(*) from gov_entities where created_by_use}); }

sub dims { my ($user) = @_; return qq('{"userId": "$user", "teamId": "team-1"}'); }

sub consume { my ($user) = @_; return q{select is_granted, denied_reason from gov_consume('acme', 'tokens', 1, } . dims($user) . ')'; }

# The created entities and the counts are those of the ledger: each event of a user has that entity and its team.
sub is_whole
{
	my ($name) = @_;

	is( $node->safe_psql('postgres', q{
			select e.dimensions, e.entity_ids from gov_events e
			where e.owner_id = 'acme' and e.dimensions ? 'userId' and e.dimensions ->> 'userId' not in ('bound-1', 'bound-3', 'by-app') and not (
				e.entity_ids @> array[e.dimensions ->> 'userId', 'team-1', 'org-1']
				and exists (select from gov_entities x where x.owner_id = 'acme' and x.id = e.dimensions ->> 'userId' and x.parent_id = 'team-1'))}),
		'', "$name: each use has its entity");
	gov_is_exact($node, 'postgres', $name);
	return;
}

# ---------------------------------------------------------------- many at once

# Each session goes through the same ids in an order of its own, several of them in a transaction that may be rolled back: they wait for
# each other in both directions.
append_to_file("$dir/same.sql", <<'EOS');
\set a random(1, 40)
\set b random(1, 40)
\set c random(1, 40)
\set undo random(1, 4)
begin;
select count(*) from gov_consume('acme', 'tokens', 1, jsonb_build_object('userId', 'same-' || :a::text, 'teamId', 'team-1'));
select count(*) from gov_ingest('acme', 'tokens', 2, jsonb_build_object('userId', 'same-' || :b::text, 'teamId', 'team-1'));
select count(*) from gov_reserve('acme', 'tokens', 3, jsonb_build_object('userId', 'same-' || :c::text, 'teamId', 'team-1'));
\if :undo = 1
rollback;
\else
commit;
\endif
EOS
$node->safe_psql('postgres', $_) foreach q{alter system set deadlock_timeout = '20ms'}, 'select pg_reload_conf()';
my ($out, $err) = ('', '');
{
	local %ENV = $node->_get_env();
	IPC::Run::run([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 40, '-f', "$dir/same.sql", 'postgres' ], '>', \$out, '2>', \$err);
}
like($out, qr{number of transactions actually processed: 320/320}, 'eight sessions that create the same: none fails') or diag($err);
like($node->safe_psql('postgres', q{select count(*), count(distinct id) from gov_entities where id like 'same-%'}), qr/^(\d+)\|\1$/, 'each is there once');
$node->safe_psql('postgres', 'select count(gov_release(id)) from gov_reservations');
gov_is_exact($node, 'postgres', 'many at once');

# ---------------------------------------------------------------- sessions and servers that die

my $before = created();
my $open = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($open, 'begin');
is(gov_ask($open, consume('killed')), 't|', 'a use that creates');
is(gov_ask($open, q{select jsonb_array_length(chains) from gov_check('acme', 'tokens', 1, '{"userId": "killed"}')}), '1', 'is seen by its transaction');
my $pid = gov_ask($open, 'select pg_backend_pid()');
$node->safe_psql('postgres', "select pg_terminate_backend($pid)");
$node->poll_query_until('postgres', "select count(*) = 0 from pg_stat_activity where pid = $pid") or die 'it stays';
is(created(), $before, 'terminated: nothing is left');
eval { $open->quit };

$open = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($open, 'begin');
gov_ask($open, consume('crashed'));
is($node->safe_psql('postgres', consume('stays')), 't|', 'another session creates');
kill 9, gov_ask($open, 'select pg_backend_pid()');
eval { $open->quit };
gov_await($node, 'postgres', 'select true');
is($node->safe_psql('postgres', q{select id from gov_entities where id in ('crashed', 'stays')}), 'stays', 'a crash leaves what was committed');
is($node->safe_psql('postgres', consume('crashed')), 't|', 'and what it took is created anew');
gov_is_exact($node, 'postgres', 'a crash');

$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{select is_granted from gov_consume('acme', 'tokens', 1, '{"userId": "stays"}')}), 't', 'an immediate stop: what was created is there');
is_whole('an immediate stop');

# ---------------------------------------------------------------- the bound

my $bound = created() + 2;
$node->safe_psql('postgres', "alter system set governance.created_entities_max = $bound");
$node->restart;
is(join(' ', map { $node->safe_psql('postgres', consume("bound-$_")) } 1 .. 3), 't| t| f|UnknownEntity', 'after a restart the table is counted');
is($node->safe_psql('postgres', q{select value from gov_stats where name = 'creations_refused'}), '1', 'gov_stats counts the one that found no room');
is($node->safe_psql('postgres', consume('stays')), 't|', 'what is there is used on');
is( $node->safe_psql('postgres', q{select event_id is not null from gov_ingest('acme', 'tokens', 1, } . dims('bound-3') . q{); select count(*) from gov_entities where id = 'bound-3'}),
	"t\n0", 'what happened is recorded, and creates nothing');
is( $node->safe_psql('postgres', q{
		create role first_app login; select gov_grant('first_app', 'app');
		create role first_pinned login; select gov_grant('first_pinned', 'app'); alter role first_pinned set governance.owner = 'acme';
		alter role first_app set governance.created_entities_max = 1000;
		select has_table_privilege('first_app', 'gov_entities', 'insert')}) =~ s/\n+//gr,
	'f', 'an application may not insert entities');
is($node->safe_psql('postgres', consume('by-app'), extra_params => [ '-U', 'first_app' ]), 't|', 'but its uses create them, up to a bound of its own');
is($node->safe_psql('postgres', consume('by-pinned'), extra_params => [ '-U', 'first_pinned' ]), 'f|UnknownEntity', 'or that of the server');
my ($ret, $stdout, $stderr) = $node->psql('postgres', 'set governance.created_entities_max = 1000000', extra_params => [ '-U', 'first_app' ]);
like($stderr, qr/permission denied to set parameter/, 'which it cannot set');
($ret, $stdout, $stderr) = $node->psql('postgres', q{select gov_consume('globex', 'tokens', 1, } . dims('x') . ')', extra_params => [ '-U', 'first_pinned', '-v', 'VERBOSITY=verbose' ]);
like($stderr, qr/ERROR:  42501/, 'a pinned session creates for no other owner');
is($node->safe_psql('postgres', q{select count(*) from gov_entities where owner_id <> 'acme'}), '0', 'so there is none');
$node->safe_psql('postgres', q{delete from gov_entities where id = 'by-app'; delete from gov_entities where id = 'bound-1'});
$node->poll_query_until('postgres', q{select is_granted from gov_check('acme', 'tokens', 1, } . dims('bound-3') . ')') or die 'no room';
is($node->safe_psql('postgres', consume('bound-3')), 't|', 'what is deleted makes room for others');
is($node->safe_psql('postgres', q{select count(*) from gov_changes where table_name = 'gov_entities' and key ->> 'id' ~ '^(same|bound-|by)' and action = 'INSERT'}), '0', 'none of it is in gov_changes');
$node->safe_psql('postgres', $_) foreach 'alter system reset governance.created_entities_max', 'select pg_reload_conf()';

# ---------------------------------------------------------------- where nothing is written

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $checks = q{select is_granted, denied_reason, jsonb_array_length(chains) from gov_check('acme', 'tokens', 1, } . dims('unheard-of') . q{);
	select count(*), min(remaining) is not null from gov_headroom('acme', 'tokens', 1, } . dims('unheard-of') . q{);
	select gov_allowed('acme', 'tokens', 1, } . dims('unheard-of') . q{);
	select is_granted, denied_reason from gov_check('acme', 'tokens', 1, '{"agentId": "unheard-of"}');
	select is_granted, denied_reason from gov_check('acme', 'tokens', 1, '{"agentId": "agent-1"}')};
my $answers = $node->safe_psql('postgres', $checks);
is($answers, "t||2\n6|t\nt\nf|UnknownEntity\nt|", 'checks, where there is nothing yet');
is($node->safe_psql('postgres', "begin read only; $checks"), $answers, 'the same in a read-only transaction');
is($node->safe_psql('postgres', "set governance.use_cache = off; $checks"), $answers, 'the same from the tables');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $checks), $answers, 'the same on a standby');
is($standby->safe_psql('postgres', "set governance.created_entities_max = 1; $checks") =~ s/\n.*//sr, 'f|UnknownEntity|1', 'where the bound holds too');
gov_raises($node, 'postgres', 'begin read only; ' . consume('unheard-of'), '25006', 'a use in a read-only transaction');
is($node->safe_psql('postgres', q{select count(*) from gov_entities where id = 'unheard-of'}), '0', 'none of them has created anything');
my $session = $standby->background_psql('postgres', on_error_stop => 0);
gov_ask($session, "select gov_allowed('acme', 'tokens', 1, " . dims('later') . ')');
$node->safe_psql('postgres', consume('later') . q{; insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'later', 'tokens', 5)});
$node->wait_for_catchup($standby);
is(gov_ask($session, q{select is_granted, remaining from gov_check('acme', 'tokens', 6, '{"userId": "later"}')}), 'f|5', 'what is created on the primary is there on the standby');
$session->quit;
$standby->promote;
$standby->poll_query_until('postgres', 'select not pg_is_in_recovery()') or die 'no promotion';
is($standby->safe_psql('postgres', consume('after-all')), 't|', 'promoted: uses create');
is($standby->safe_psql('postgres', 'select * from gov_verify()'), '', 'promoted: gov_verify finds nothing');
$standby->stop;

# ---------------------------------------------------------------- what it reads

# So many that uses have created already, and as many tries: the least of them, since some split a page.
sub blocks_of_first_use
{
	my ($there) = @_;
	my $measured = $node->background_psql('postgres', on_error_stop => 0);

	$node->safe_psql('postgres', $_) foreach
		"select count(gov_ingest('acme', 'tokens', 1, jsonb_build_object('userId', 'grown-' || n, 'teamId', 'team-1'))) from generate_series(1, $there) n",
		'vacuum analyze gov_entities';
	gov_roll_up($node, 'postgres');
	gov_ask($measured, consume("warm-$there"));
	my @blocks = sort { $a <=> $b } map { gov_blocks($measured, consume("measured-$there-$_")) } 1 .. 5;
	my $after = gov_blocks($measured, consume("measured-$there-1"));
	my $later = gov_blocks($measured, consume("measured-$there-1"));
	$measured->quit;
	return ($blocks[0], $after, $later);
}

my @small = blocks_of_first_use(200);
my @large = blocks_of_first_use(10000);
note("a first use reads @small, and @large where there are fifty times as many");
cmp_ok($large[0], '<=', 90, 'a first use reads so much');
cmp_ok($large[0], '<=', $small[0] + 16, 'however many there are');
cmp_ok($large[1], '<=', 45, 'the next one loads what was created');
cmp_ok($large[2], '<=', 12, 'and later ones read as any warm use does');
is_whole('at the end');

$node->stop;
done_testing();
