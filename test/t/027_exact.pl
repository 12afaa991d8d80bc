# gov_consume is exact: whatever 32 clients do at once (savepoints, rollbacks, statements that time out, a limit that goes
# up and down, a killed backend), no budget is ever granted more than its limit, and what is left is less than what was refused.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant { CLIENTS => 32, LEAVES => 40, VICTIMS => 3 };

my $node = gov_node('exact', conf => <<CONF);
max_connections = 60
fsync = off
restart_after_crash = on
CONF
my $dir = PostgreSQL::Test::Utils::tempdir;
my $clients = "backend_type = 'client backend' and pid <> pg_backend_pid()";

# One root that everybody shares. Of the leaves half are only counted, the others have a small budget for ever or for each second.
$node->safe_psql('postgres', qq{
	insert into gov_entity_types (id) values ('org'), ('user');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'leaf-' || n, 'user', 'root' from generate_series(1, ${\LEAVES}) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('acme', 'root', 'tokens', 20000, null);
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
	select 'acme', 'leaf-' || n, 'tokens', case when n > ${\LEAVES} / 2 then 100 + n / 3.0 end, case n % 2 when 0 then 'PT1S' end
	from generate_series(1, ${\LEAVES}) n;
	create table refused (amount numeric);
	create table answers (key text, event_id bigint);
	create table broken (counted_before numeric, counted_after numeric, lowered_to numeric);

	-- What the gate counts on the root, open transactions included.
	create function counted() returns numeric language sql volatile as \$\$
		select current_usage from gov_headroom('acme', 'tokens', 0, null, '{root}')
	\$\$;

	-- Lowers and raises the root's limit. From the COMMIT on nothing is granted past the new one: the count may only fall, or rise up to it.
	create procedure swing(seconds float, lowest int, highest int) language plpgsql as \$\$
	declare
		stop timestamptz := clock_timestamp() + seconds * interval '1 second';
		new_limit numeric;
		before numeric;
		later numeric;
	begin
		while clock_timestamp() < stop loop
			new_limit := lowest + floor(random() * (highest - lowest));
			update gov_assignments set usage_limit = new_limit where owner_id = 'acme' and entity_id = 'root';
			commit;
			before := counted();
			perform pg_sleep(0.01);
			later := counted();
			if later > greatest(before, new_limit) then
				insert into broken values (before, later, new_limit);
			end if;
		end loop;
		update gov_assignments set usage_limit = highest where owner_id = 'acme' and entity_id = 'root';
	end
	\$\$;
});

append_to_file("$dir/transaction.sql", <<'EOS');
\set a random(1, 40)
\set b random(1, 40)
\set x random(1, 2000)
\set what random(0, 9)
begin;
select is_granted from gov_consume('acme', 'tokens', :x / 100.0, null, array['leaf-' || :a]);
savepoint s;
select is_granted from gov_consume('acme', 'tokens', :x / 70.0, null, array['leaf-' || :b, 'leaf-' || :a]);
\if :what % 3 = 0
rollback to s;
\endif
select is_granted from gov_consume('acme', 'tokens', (:what + 1) / 3.0, null, array['leaf-' || :b]);
\if :what < 4
rollback;
\else
commit;
\endif
EOS
append_to_file("$dir/single.sql", <<'EOS');
\set a random(1, 40)
\set x random(1, 9000)
select is_granted from gov_consume('acme', 'tokens', :x / 1000.0, null, array['leaf-' || :a]);
EOS
append_to_file("$dir/refused.sql", <<'EOS');
\set a random(1, 20)
\set x random(50, 700)
insert into refused select :x / 100.0 from gov_consume('acme', 'tokens', :x / 100.0, null, array['leaf-' || :a]) where not is_granted;
EOS
append_to_file("$dir/keyed.sql", <<'EOS');
\set n :n + 1
\set a random(1, 40)
\set x random(1, 9000)
insert into answers
select concat(:client_id::text, '/', :n::text), event_id
from gov_consume('acme', 'tokens', :x / 1000.0, null, array['leaf-' || :a::text], concat(:client_id::text, '/', :n::text));
EOS

# Statements that time out at any point of several calls.
foreach my $n (1 .. 4000)
{
	append_to_file("$dir/victim.sql", sprintf("set statement_timeout = '%dms';\n", 1 + $n % 4))
	  if $n % 50 == 1;
	append_to_file(
		"$dir/victim.sql",
		sprintf(
			"select count(*) from generate_series(1, %d) n, gov_consume('acme', 'tokens', n / 7.0, null, array['leaf-' || %d]);\n",
			1 + $n % 60, 1 + $n % LEAVES));
}

sub pgbench
{
	return ('pgbench', '-n', '-M', 'prepared', '-c', CLIENTS, '-j', '2', @_, 'postgres');
}

# Run clients for some seconds beside sessions whose statements time out, and perhaps another statement.
sub load
{
	my ($seconds, $label, $beside) = @_;
	my ($out, $err) = ('', '');
	local %ENV = $node->_get_env();
	my $load = IPC::Run::start(
		[
			pgbench('-T', $seconds,
				map({ ('-f', $_) } "$dir/transaction.sql\@3", "$dir/single.sql\@2"))
		],
		'>', \$out, '2>', \$err);
	my @victims = map {
		IPC::Run::start([ 'psql', '-X', '-q', '-d', 'postgres', '-f', "$dir/victim.sql" ],
			'>', '/dev/null', '2>', "$dir/victim.$_")
	} 1 .. VICTIMS;

	$node->safe_psql('postgres', $beside) if defined $beside;
	$load->finish;
	# stopping psql leaves its session to end by itself
	$_->kill_kill foreach @victims;
	$node->poll_query_until('postgres', "select count(*) = 0 from pg_stat_activity where $clients");
	is($err, '', "$label: no client fails");
	like(join('', map { slurp_file("$dir/victim.$_") } 1 .. VICTIMS), qr/statement timeout/, "$label: statements time out");
	return;
}

sub ledger { return $node->safe_psql('postgres', 'select coalesce(sum(amount), 0) from gov_events') }

# In every window of every budget, what was granted is at most the limit, which for the root is the highest there was.
sub within_limits
{
	my ($label, $highest) = @_;

	is($node->safe_psql('postgres', qq{
			select a.entity_id, c.window_start, sum(e.amount), max(a.usage_limit)
			from gov_events e, unnest(e.counter_ids, e.window_starts) c (counter_id, window_start), gov_assignments a
			where a.counter_id = c.counter_id
			group by a.entity_id, c.window_start
			having sum(e.amount) > case a.entity_id when 'root' then $highest else max(a.usage_limit) end}),
		'', "$label: no window of any budget is past its limit");
	is($node->safe_psql('postgres', 'select * from gov_verify()'),
		'', "$label: gov_verify finds nothing");
	is($node->safe_psql('postgres', 'select trim_scale(counted()) = trim_scale(sum(amount)) from gov_events'),
		't', "$label: the gate counts what is in the ledger");
	return;
}

# ---------------------------------------------------------------- a constant limit

load(4, 'constant limit');
within_limits('constant limit', 20000);

# Where nothing rolls back, a refusal means that so much was not left, and never will be: 20,000 more make room for both answers.
$node->safe_psql('postgres',
	"update gov_assignments set usage_limit = 30000 where owner_id = 'acme' and entity_id = 'root'");
{
	local %ENV = $node->_get_env();
	my ($out, $err) = ('', '');

	IPC::Run::run([ pgbench('-t', '300', '-f', "$dir/refused.sql") ], '>', \$out, '2>', \$err);
	is($err, '', 'filling up: no client fails');
}
within_limits('filling up', 30000);
is($node->safe_psql('postgres', q{
		select count(*) > 0, 30000 - (select sum(amount) from gov_events) < min(amount) from refused}),
	't|t', 'filling up: what is left is less than the smallest request that was refused')
  or diag ledger();

# ---------------------------------------------------------------- a limit that goes up and down

load(4, 'moving limit', 'call swing(3.5, 28000, 45000)');
within_limits('moving limit', 45000);
is($node->safe_psql('postgres', 'select * from broken'),
	'', 'moving limit: after the COMMIT that lowers it nothing is granted past it');
cmp_ok(ledger(), '>', 30000, 'moving limit: raised, it is used');

# ---------------------------------------------------------------- a crash

$node->safe_psql('postgres', q{
	update gov_assignments set usage_limit = 1000000 where owner_id = 'acme' and entity_id = 'root';
	update gov_assignments set usage_limit = 8, cadence = 'PT1S' where owner_id = 'acme' and entity_id in ('leaf-1', 'leaf-3', 'leaf-5')});
{
	local %ENV = $node->_get_env();
	my ($out, $err) = ('', '');
	my $load = IPC::Run::start(
		[ pgbench('-T', '20', '-f', "$dir/keyed.sql", '-D', 'n=0', '-l', '--log-prefix', "$dir/acknowledged") ],
		'>', \$out, '2>', \$err);

	$node->poll_query_until('postgres', 'select count(*) > 4000 from answers') or die "no load: $err";
	kill 9, $node->safe_psql('postgres', "select pid from pg_stat_activity where $clients order by random() limit 1");
	$load->finish;
	$node->poll_query_until('postgres', 'select true');
}
my %acknowledged;
foreach my $log (glob "$dir/acknowledged.*")
{
	foreach my $line (split /\n/, slurp_file($log))
	{
		my ($client) = split ' ', $line;
		$acknowledged{$client}++;
	}
}
my $values = join ',', map { "($_, $acknowledged{$_})" } sort keys %acknowledged;

is($node->safe_psql('postgres', qq{
		select count(*) > 3000, count(*) filter (where a.key is null)
		from (values $values) c (client, calls) cross join generate_series(1, calls) n
		left join answers a on a.key = concat(c.client, '/', n)}),
	't|0', 'crash: what was acknowledged is there');
is($node->safe_psql('postgres', q{
		select count(*) filter (where a.event_id is null) > 0,
			count(*) filter (where a.event_id is distinct from e.id) + count(*) - count(distinct a.key)
		from answers a full join gov_events e on e.idempotency_key = a.key
		where a.key is not null or e.idempotency_key is not null}),
	't|0', 'crash: each answer with its event, once');
within_limits('crash', 1000000);

$node->stop;
done_testing();
