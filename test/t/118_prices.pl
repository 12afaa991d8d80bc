# Prices where they are stored, and where there are many: what 32 sessions are charged while prices change is what each event's quantities
# cost at the prices that it keeps, and no limit is passed; while a price moves from an owner's list to everybody's and back no call misses it;
# after a crash, on a standby, after a promotion, without the library preloaded and with the cache off the prices are the same; changes
# that replication applies are seen; and a backend keeps no more lists of owners than it has room for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('prices', init => { allows_streaming => 1 });

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	insert into gov_capabilities (id) values ('dollars'), ('euros');
	insert into gov_prices (capability_id, quantity, price, valid_from) values ('dollars', 'input', 7, '2020-01-01'), ('dollars', 'output', 5, '2020-01-01');
	insert into gov_prices (owner_id, capability_id, quantity, match, price, per, valid_from) values ('acme', 'dollars', 'output', '{"model": "large"}', 1, 3, '2020-01-01')});

# ---------------------------------------------------------------- no call misses what moves

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/move.sql", <<'SQL');
begin;
delete from gov_prices where quantity = 'input';
insert into gov_prices (owner_id, capability_id, quantity, price, valid_from) values ('acme', 'dollars', 'input', 7, '2020-01-01');
commit;
begin;
delete from gov_prices where quantity = 'input';
insert into gov_prices (capability_id, quantity, price, valid_from) values ('dollars', 'input', 7, '2020-01-01');
commit;
SQL
append_to_file("$dir/ask.sql", "select 1 / (gov_price('acme', 'dollars', '{\"input\": 1}') = 7)::int;\n");
append_to_file("$dir/ask_anew.sql", "\\set n random(1, 1000000)\nselect 1 / (gov_price('acme', 'dollars', '{\"input\": 1}') + 0 * gov_price('owner-' || :n, 'dollars', '{\"output\": 1}') = 7)::int;\n");

sub clients
{
	my (@arguments) = @_;
	my ($out, $err) = ('', '');

	return { run => IPC::Run::start([ 'pgbench', '-n', @arguments, '-h', $node->host, '-p', $node->port, 'postgres' ], \undef, \$out, \$err), err => \$err };
}

my @clients = map { clients('-c', 3, '-t', 1500, '-f', "$dir/$_.sql") } 'ask', 'ask_anew';
my $mover = clients('-c', 1, '-T', 600, '-f', "$dir/move.sql");
foreach my $client (@clients)
{
	IPC::Run::finish($client->{run});
	unlike(${ $client->{err} }, qr/ERROR/, 'every call has found the price');
}
$mover->{run}->kill_kill;
cmp_ok(sql(q{select count(*) from gov_changes where table_name = 'gov_prices'}), '>', 50, 'while it moved');

# ---------------------------------------------------------------- charged while prices change

sql(q{
	insert into gov_entity_types (id, attribution_keys) values ('org', '{org}'), ('user', '{user}');
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('globex', 'root', 'org', null), ('globex', 'u1', 'user', 'root'), ('globex', 'u2', 'user', 'root');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('globex', 'root', 'euros', 40, 'P100Y'), ('globex', 'u1', 'euros', 25, 'P100Y');
	insert into gov_prices (capability_id, quantity, price, per, valid_from) values ('euros', 'tokens', 1, 1000, '2020-01-01'), ('euros', 'calls', 1, 7, '2020-01-01')});
append_to_file("$dir/use.sql", <<'SQL');
\set n random(1, 100)
\set u random(1, 2)
\set b random(0, 3)
begin;
select is_granted from gov_consume_all('globex', jsonb_build_object('dollars', 1, 'euros', jsonb_build_object('tokens', :n, 'calls', 0.01)), jsonb_build_object('user', 'u' || :u));
\if :b
commit;
\else
rollback;
\endif
SQL
append_to_file("$dir/change.sql", <<'SQL');
\set p random(1, 30)
update gov_prices set price = :p / 10.0 where capability_id = 'euros' and quantity = 'tokens';
SQL
my $changer = clients('-c', 1, '-T', 600, '-f', "$dir/change.sql");
my $users = clients('-c', 32, '-j', 2, '-t', 30, '-f', "$dir/use.sql");
IPC::Run::finish($users->{run});
$changer->{run}->kill_kill;
unlike(${ $users->{err} }, qr/ERROR/, 'uses are charged while prices change');
is(sql(q{
	select count(*) from gov_events e
	where e.quantities is not null and e.amount <> round((select sum(q.value::numeric * (e.prices -> q.key ->> 'price')::numeric / (e.prices -> q.key ->> 'per')::numeric) from jsonb_each_text(e.quantities) q), 9)}),
	'0', 'each is charged what its quantities cost at the prices that it keeps');
cmp_ok(sql(q{select count(distinct prices -> 'tokens' -> 'price') from gov_events where quantities is not null}), '>', 3, 'at several prices');
is(sql(q{select count(*) from gov_budgets where owner_id = 'globex' and current_usage + reserved_usage > usage_limit}), '0', 'no limit is passed');
is(sql(q{select sum(e.amount) = min(b.current_usage) from gov_events e, gov_budgets b where e.owner_id = 'globex' and e.capability_id = 'euros' and b.owner_id = 'globex' and b.entity_id = 'root'}), 't', 'and the count is the sum');
is(sql('select * from gov_verify()'), '', 'which gov_verify finds as well');
is(sql(q{select count(*) from gov_reprice('globex', 'euros', '2000-01-01', 'infinity') r where repriced <> gov_price('globex', 'euros', quantities, dimensions, occurred_at)}), '0', 'the present list is the same for all');
sql(q{delete from gov_prices where capability_id = 'euros'});

# ---------------------------------------------------------------- the same everywhere

sub prices
{
	my ($server, $settings) = @_;

	return $server->safe_psql('postgres', ($settings // '') . q{
		select gov_price('acme', 'dollars', '{"input": 1, "output": 1}', '{"model": "large"}'), gov_price('globex', 'dollars', '{"output": 1}', '{"model": "large"}')
		from generate_series(1, 2)});
}

sql(q{delete from gov_prices where quantity = 'input'; insert into gov_prices (capability_id, quantity, price, valid_from) values ('dollars', 'input', 7, '2020-01-01')});
my $prices = "7.333333333|5\n7.333333333|5";
is(prices($node), $prices, 'prices');
is(prices($node, 'set governance.use_cache = off;'), $prices, 'with the cache off');

my $session = $node->background_psql('postgres');
is($session->query(q{select gov_price('acme', 'dollars', '{"input": 1}')}), '7', 'a session remembers a price');
sql(q{set session_replication_role = replica; update gov_prices set price = 8 where quantity = 'input'});
is($session->query(q{select gov_price('acme', 'dollars', '{"input": 1}')}), '8', 'and sees what replication applies');
sql(q{alter table gov_prices disable trigger gov_prices_note; update gov_prices set price = 7 where quantity = 'input'; select gov_refresh()});
is($session->query(q{select gov_price('acme', 'dollars', '{"input": 1}')}), '7', 'and what gov_refresh() tells');
is(sql(q{select * from gov_setup_check()}), '', 'which has repaired the trigger');
$session->quit;

# An error between the moment that a change is announced and the commit: the next one is seen as well.
$session = $node->background_psql('postgres', on_error_stop => 0);
my $other = $node->background_psql('postgres', on_error_stop => 0);
sql('create table skewed (n int); insert into skewed values (1)');
$_->query('begin isolation level serializable; select count(*) from skewed') foreach $session, $other;
$_->query(q{insert into skewed values (2); update gov_prices set price = price + 1 where quantity = 'output' and owner_id is not null}) foreach $session;
$other->query('insert into skewed values (3)');
$other->query('commit');
$session->query('commit');
like($session->{stderr}, qr/could not serialize/, 'a commit has failed');
is(prices($node), $prices, 'and changed nothing');
$session->quit;
$other->quit;
$session = $node->background_psql('postgres');
$session->query(q{select gov_price('acme', 'dollars', '{"input": 1}')});
my $scans = q{select seq_scan + idx_scan from pg_stat_xact_user_tables where relname = 'gov_prices'};
$session->query(q{select gov_price('acme', 'dollars', '{"input": 1}') from generate_series(1, 100)});
cmp_ok($session->query($scans), '<', 10, 'nobody is taken to be committing: a call does not read the table');
$session->quit;

# ---------------------------------------------------------------- many owners

sql(q{insert into gov_prices (owner_id, capability_id, quantity, match, price, per, valid_from)
	select 'owner-' || n, 'euros', 'input', jsonb_build_object('model', 'a model with a long name ' || m), n + m, 1000, '2020-01-01'
	from generate_series(1, 1500) n, generate_series(1, 30) m});
$session = $node->background_psql('postgres');
is($session->query(q{select bool_and(gov_price('owner-' || n % 1500 + 1, 'euros', '{"input": 1000}', '{"model": "a model with a long name 7"}') = n % 1500 + 8) from generate_series(1, 3000) n}), 't', 'many owners have prices of their own');
cmp_ok($session->query(q{select sum(total_bytes) from pg_backend_memory_contexts where name = 'governance prices'}), '<', 20 * 1024 * 1024, 'and not all are kept');
$session->quit;

# ---------------------------------------------------------------- a crash, a standby, a promotion

$node->stop('immediate');
$node->start;
is(prices($node), $prices, 'after a crash');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is(prices($standby), $prices, 'on a standby');
my $reader = $standby->background_psql('postgres');
is($reader->query(q{select gov_price('acme', 'dollars', '{"input": 1}')}), '7', 'a session of the standby');
sql(q{update gov_prices set price = 9 where quantity = 'input' and capability_id = 'dollars'});
$node->wait_for_catchup($standby, 'replay');
is($reader->query(q{select gov_price('acme', 'dollars', '{"input": 1}')}), '9', 'sees a change');
$node->stop;
$standby->promote;
is($reader->query(q{select gov_price('acme', 'dollars', '{"input": 1}')}), '9', 'the same session after the promotion');
$standby->safe_psql('postgres', q{update gov_prices set price = 7 where quantity = 'input' and capability_id = 'dollars'});
is($reader->query(q{select gov_price('acme', 'dollars', '{"input": 1}')}), '7', 'and a change then');
$reader->quit;
is(prices($standby), $prices, 'after a promotion');

$standby->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$standby->restart;
is(prices($standby), $prices, 'where the library is not preloaded');
$standby->stop;

done_testing();
