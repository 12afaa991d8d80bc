# The ledger as a stream, for a client that decodes the log: while sessions use, roll back, die and use keys twice, and the
# consumer and the server are killed, what it is sent are the committed rows, whole, in the order of their commits, and
# nothing of a transaction or savepoint that was rolled back. The catalog's changes likewise. And a publication of all tables.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('push', init => { allows_streaming => 'logical' }, conf => "governance.rollup_interval = '20ms'");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $json = JSON::PP->new->allow_nonref->utf8;
my $libdir = $node->config_data('--pkglibdir');

gov_build($node, 'postgres', agents => 10, limit => 400);
$node->safe_psql('postgres', 'create publication governance_events for table gov_events with (publish = \'insert\')');
my $start = $node->safe_psql('postgres', 'select pg_current_wal_lsn()');

# ---------------------------------------------------------------- what a consumer is sent

# Transactions that are complete, as arrays of [kind, table, {column => text}]. A consumer that is killed may leave the
# beginning of one behind; it is sent that one again.

sub decode_pgoutput
{
	my ($data) = @_;
	my ($at, $open, @transactions, %relation) = (0);
	my $take = sub {
		my ($template, $length) = @_;

		die "incomplete\n" if $at + $length > length $data;
		my @values = unpack $template, substr $data, $at, $length;
		$at += $length;
		return wantarray ? @values : $values[0];
	};
	my $string = sub {
		my $end = index $data, "\0", $at;

		die "incomplete\n" if $end < 0;
		my $value = substr $data, $at, $end - $at;
		$at = $end + 1;
		return $value;
	};
	my $tuple = sub {
		my ($columns) = @_;
		my %row;

		foreach my $n (0 .. $take->('n', 2) - 1)
		{
			my $kind = $take->('a', 1);
			$row{ $columns->[$n] } = $kind eq 't' ? $take->('a*', $take->('N', 4)) : undef;
		}
		return \%row;
	};

	eval {
		while ($at < length $data)
		{
			my $kind = $take->('a', 1);

			if ($kind eq 'B')
			{
				$take->('a*', 20);
				$open = [];
			}
			elsif ($kind eq 'C')
			{
				$take->('a*', 25);
				push @transactions, $open;
			}
			elsif ($kind eq 'R')
			{
				my $oid = $take->('N', 4);
				$string->();
				$relation{$oid}{name} = $string->();
				$take->('a', 1);
				$relation{$oid}{columns} = [ map { $take->('C', 1); my $name = $string->(); $take->('a*', 8); $name } 1 .. $take->('n', 2) ];
			}
			elsif ($kind =~ /[IUD]/)
			{
				my ($name, $columns) = @{ $relation{ $take->('N', 4) } }{qw(name columns)};
				my %row;

				foreach my $part ($kind eq 'U' ? 1 .. 2 : 1)
				{
					my $which = $take->('a', 1);
					$row{$which} = $tuple->($columns);
					last if $which eq 'N';
				}
				push @$open, [ $kind, $name, $row{N} // $row{K} // $row{O} ];
			}
			else
			{
				die "message $kind\n";
			}
			die "no end of a message\n" if $take->('a', 1) ne "\n";
		}
	};
	die $@ if $@ && $@ ne "incomplete\n";
	return @transactions;
}

sub decode_wal2json
{
	my ($data) = @_;
	my ($open, @transactions);

	foreach my $line ($data =~ /^(.*)\n/mg)
	{
		my $change = $json->decode($line);

		if ($change->{action} eq 'B') { $open = []; }
		elsif ($change->{action} eq 'C') { push @transactions, $open; }
		elsif ($change->{action} eq 'I')
		{
			push @$open,
			  [ 'I', $change->{table}, { map { $_->{name} => $_->{value} } @{ $change->{columns} } } ];
		}
	}
	return @transactions;
}

sub decode_test_decoding
{
	my ($data) = @_;
	my ($open, @transactions);

	foreach my $line ($data =~ /^(.*)\n/mg)
	{
		if ($line =~ /^BEGIN/) { $open = []; }
		elsif ($line =~ /^COMMIT/) { push @transactions, $open; }
		elsif ($line =~ /^table public\.gov_events: INSERT: (.*)/)
		{
			my ($columns, %row) = ($1);

			while ($columns =~ /\G(\w+)\[[^:]*\]:(?:'((?:[^']|'')*)'|(\S+)) ?/g)
			{
				my ($name, $quoted, $bare) = ($1, $2, $3);
				$row{$name} = defined $quoted ? $quoted =~ s/''/'/gr : $bare eq 'null' ? undef : $bare;
			}
			push @$open, [ 'I', 'gov_events', \%row ];
		}
	}
	return grep { @$_ } @transactions;
}

# ---------------------------------------------------------------- consumers

my %consumers = (
	pgoutput => {
		decode => \&decode_pgoutput,
		options => [qw(-o proto_version=1 -o publication_names=governance_events)],
	},
	wal2json => {
		decode => \&decode_wal2json,
		options => [qw(-o format-version=2 -o add-tables=public.gov_events -o actions=insert)],
	},
	test_decoding => {
		decode => \&decode_test_decoding,
		options => [qw(-o skip-empty-xacts=1)],
	});
delete $consumers{wal2json} unless -e "$libdir/wal2json.so";

sub start_consumer
{
	my ($name, @more) = @_;
	my $consumer = $consumers{$name};
	local %ENV = $node->_get_env();

	push @{ $consumer->{files} }, my $file = "$dir/$name." . ++$consumer->{runs};
	$consumer->{process} = IPC::Run::start(
		[ 'pg_recvlogical', '-d', 'postgres', '-S', "push_$name", '--start', '--no-loop', '-f', $file, '-s', '1', @{ $consumer->{options} }, @more ],
		'<', \undef, '>', "$file.out", '2>', "$file.err", IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return;
}

# All that it was sent, in order; what it was sent again counts where it came first.
sub events_of
{
	my ($name) = @_;
	my ($consumer, %seen) = ($consumers{$name});

	return grep { !$seen{ $_->{id} }++ }
	  map { $_->[2] }
	  map { @$_ }
	  map { $consumer->{decode}->(slurp_file($_)) } grep { -e } @{ $consumer->{files} };
}

sub finish_consumers
{
	my $end = $node->safe_psql('postgres', 'select pg_current_wal_insert_lsn() from pg_logical_emit_message(true, \'\', \'\')');

	# something after the end, so that it is passed
	$node->safe_psql('postgres', q{select pg_logical_emit_message(true, '', ''), pg_switch_wal()});
	start_consumer($_, "--endpos=$end") foreach sort keys %consumers;
	ok($consumers{$_}{process}->finish, "$_: read to the end") foreach sort keys %consumers;
	return;
}

# Minor releases of 2026 and later ask which libraries may decode.
if ($node->safe_psql('postgres', q{select count(*) from pg_settings where name = 'output_plugin_libraries'}))
{
	my $libraries = join ', ', sort keys %consumers;

	$node->safe_psql('postgres', "alter system set output_plugin_libraries = $libraries");
	$node->reload;
	$node->poll_query_until('postgres', "select current_setting('output_plugin_libraries') = '$libraries'") or die;
}

foreach my $name (sort keys %consumers)
{
	$node->command_ok([ 'pg_recvlogical', '-d', 'postgres', '-S', "push_$name", '--create-slot', '-P', $name ], "$name: a slot");
	start_consumer($name);
}

# ---------------------------------------------------------------- what happens

# The order of commits is not that of the ids.
my ($early, $late) = map { $node->background_psql('postgres') } 1 .. 2;
$early->query_safe(q{begin; select gov_ingest('acme', 'tokens', 1, '{"step": "drawn first"}', '{agent-1}')});
$late->query_safe(q{select gov_ingest('acme', 'tokens', 2, '{"step": "committed first"}', '{agent-1}')});
$early->query_safe('commit');
$_->quit foreach $early, $late;

my %scripts = (
	use => q{
		select event_id from gov_ingest('acme', 'tokens', :amount + 0.25, '{"quote": "it''s \"so\"\n", "n": 1.50}', array['agent-' || :agent::text]);
	},
	consume => q{
		select event_id from gov_consume('acme', 'tokens', :amount, null, array['agent-' || :agent::text]);
	},
	key => q{
		select event_id from gov_ingest('acme', 'tokens', 1, null, '{agent-1}', 'key-' || :key::text);
	},
	hold => q{
		select settled.event_id
		from gov_reserve('acme', 'tokens', 1, null, array['agent-' || :agent::text]) as held
		cross join lateral (select event_id from gov_settle(held.reservation_id, :amount) where held.is_granted) as settled;
	},
	many => q{
		select event_id from gov_ingest_many('acme', '[{"capabilityId": "tokens", "entityIds": ["agent-1"]}, {"capabilityId": "nonsense"},
			{"capabilityId": "tokens", "amount": -2, "entityIds": ["agent-2"]}]');
	},
	rolled_back => q{
		begin;
		select event_id from gov_ingest('acme', 'tokens', :amount, '{"doomed": true}', array['agent-' || :agent::text], 'doomed-' || :key::text);
		select event_id from gov_consume('acme', 'tokens', 1, '{"doomed": true}', array['agent-' || :agent::text]);
		rollback;
	},
	savepoint => q{
		begin;
		select event_id from gov_ingest('acme', 'tokens', 1, null, array['agent-' || :agent::text]);
		savepoint a;
		select event_id from gov_ingest('acme', 'tokens', :amount, '{"doomed": true}', array['agent-' || :agent::text]);
		rollback to a;
		savepoint b;
		select event_id from gov_ingest('acme', 'tokens', 2, null, array['agent-' || :agent::text]);
		release b;
		insert into own_rows values (1);
		commit;
	});
$node->safe_psql('postgres', 'create table own_rows (n int)');
append_to_file("$dir/$_.sql", "\\set agent random(1, 10)\n\\set amount random(1, 9)\n\\set key random(1, 300)\n$scripts{$_}")
  foreach keys %scripts;

# Sessions at work, until enough is recorded; answers how to stop.
sub start_load
{
	my $before = $node->safe_psql('postgres', 'select count(*) from gov_events');
	local %ENV = $node->_get_env();
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', '6', '-j', '2', '-T', '180', (map { ('-f', "$dir/$_.sql") } sort keys %scripts), 'postgres' ],
		'<', \undef, '>', "$dir/load.out", '2>', "$dir/load.err");

	$node->poll_query_until('postgres', "select count(*) > $before + 600 from gov_events") or die 'no load';
	return $load;
}

sub stop_load
{
	my ($load) = @_;

	$load->signal('INT');
	$load->finish;
	return;
}

# A session that dies in a transaction.
my $victim = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $victim->query_safe('select pg_backend_pid()');
$victim->query_safe(q{begin; select gov_ingest('acme', 'tokens', 1, '{"doomed": true}', '{agent-1}')});
$node->safe_psql('postgres', "select pg_terminate_backend($pid)");
eval { $victim->quit };

my $load = start_load();
foreach my $name (sort keys %consumers)
{
	$consumers{$name}{process}->kill_kill;
	$node->poll_query_until('postgres', "select coalesce(bool_and(not active), true) from pg_replication_slots where slot_name = 'push_$name'") or die;
	start_consumer($name);
}
$node->poll_query_until('postgres', 'select count(*) > 1500 from gov_events') or die 'no load';
$node->stop('immediate');
$load->finish;
eval { $_->{process}->finish } foreach values %consumers;
$node->start;
$load = start_load();
stop_load($load);
finish_consumers();

# ---------------------------------------------------------------- was it that?

# The ledger in the order of the commits, which only the log knows.
sub committed_order
{
	my ($out, $err) = ('', '');
	my (%order, $n);

	IPC::Run::run([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $start, '-r', 'Transaction' ], '>', \$out, '2>', \$err);
	foreach my $line (split /\n/, $out)
	{
		my ($xid) = $line =~ /tx: +(\d+),.*desc: COMMIT / or next;
		my ($children) = $line =~ /; subxacts: ([\d ]+)/;

		$n++;
		$order{$_} = $n foreach $xid, split / /, $children // '';
	}
	return \%order;
}

my @columns = split / /, $node->safe_psql('postgres',
	q{select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 'gov_events'::regclass and attnum > 0 and not attisdropped});
my $order = committed_order();
my @ledger = map { $json->decode($_) } split /\n/, $node->safe_psql('postgres',
	'select jsonb_build_object(\'xmin\', xmin::text, ' . join(', ', map { "'$_', ${_}::text" } @columns) . ') from gov_events order by id');

is(scalar(grep { !defined $order->{ $_->{xmin} } } @ledger), 0, 'the log has the commit of every row');
@ledger = sort { $order->{ $a->{xmin} } <=> $order->{ $b->{xmin} } || $a->{id} <=> $b->{id} } @ledger;
cmp_ok(scalar @ledger, '>', 1500, scalar(@ledger) . ' events were committed');
isnt(join(' ', map { $_->{id} } @ledger), join(' ', sort { $a <=> $b } map { $_->{id} } @ledger), 'not in the order of their ids');
cmp_ok($node->safe_psql('postgres', q{select last_value from gov_events_id_seq}), '>', @ledger + 200, 'and many were rolled back');

# Numbers are compared as numbers: wal2json prints them as such.
sub digest
{
	my ($row, @names) = @_;

	return join ' | ', map { !defined $row->{$_} ? 'null' : $_ eq 'amount' ? $row->{$_} + 0 : "$row->{$_}" } @names;
}

foreach my $name (sort keys %consumers)
{
	my @sent = events_of($name);

	# wal2json prints the elements of arrays and bytes in its own way
	my @names = $name eq 'pgoutput' ? @columns : qw(id owner_id capability_id amount dimensions idempotency_key caller);
	my @got = map { digest($_, @names) } @sent;
	my @wanted = map { digest($_, @names) } @ledger;

	is(scalar @got, scalar @wanted, "$name: as many events as there are");
	my ($wrong) = grep { ($got[$_] // '') ne ($wanted[$_] // '') } 0 .. $#wanted;
	ok(!defined $wrong && @got == @wanted, "$name: those that were committed, in that order")
	  or diag "event $wrong: " . ($got[$wrong] // 'none') . "\ninstead of     " . ($wanted[$wrong] // 'none');
	ok(!grep({ /doomed/ } map { slurp_file($_) } grep { -e } @{ $consumers{$name}{files} }), "$name: nothing that was rolled back");
}
SKIP:
{
	skip "no wal2json (Debian: postgresql-NN-wal2json)", 1 unless $consumers{wal2json};
	cmp_ok(scalar @{ $consumers{wal2json}{files} }, '==', 3, 'wal2json was among them');
}
gov_is_exact($node, 'postgres', 'and what is counted');
$node->safe_psql('postgres', "select pg_drop_replication_slot('push_$_')") foreach sort keys %consumers;

# ---------------------------------------------------------------- changes of the catalog

$node->safe_psql('postgres', 'create publication governance_catalog for table gov_entity_types, gov_capabilities, gov_entities, gov_assignments');
$consumers{catalog} = {
	decode => \&decode_pgoutput,
	options => [qw(-o proto_version=1 -o publication_names=governance_catalog)],
};
$node->command_ok([ 'pg_recvlogical', '-d', 'postgres', '-S', 'push_catalog', '--create-slot', '-P', 'pgoutput' ], 'a slot for the catalog');
my $assignment = $node->safe_psql('postgres', q{select id from gov_assignments where entity_id = 'agent-1'});
$node->safe_psql('postgres', $_) foreach (
	q{select gov_upsert_entities('acme', '[{"id": "agent-11", "typeRefId": "agent", "parentId": "user-1", "displayName": "Eleven"}]')},
	q{select gov_upsert_assignments('acme', '[{"entityId": "agent-1", "capabilityId": "tokens", "usageLimit": 12.5}]')},
	q{select gov_upsert_assignments('acme', '[{"entityId": "agent-1", "capabilityId": "tokens", "usageLimit": 12.5}]')},
	q{begin; update gov_assignments set usage_limit = 13; select gov_archive_entities('acme', '{agent-2}'); rollback},
	q{begin; select gov_archive_entities('acme', '{agent-11}'); insert into gov_capabilities (id) values ('calls'); commit},
	q{delete from gov_assignments where entity_id = 'agent-1'},
	q{select event_id from gov_ingest('acme', 'tokens', 1, null, '{agent-2}')});
%consumers = (catalog => $consumers{catalog});
finish_consumers();
my @changes = map { join ' / ', map { my ($kind, $table, $row) = @$_; "$kind $table " . join ' ', map { $row->{$_} // '-' } $table eq 'gov_assignments' ? qw(id usage_limit) : qw(id archived_at) } @$_ }
  decode_pgoutput(slurp_file($consumers{catalog}{files}[0]));
s/ \d{4}-\S+ \S+/ archived/ foreach @changes;
is(join("\n", @changes), <<"END" =~ s/\n\z//r, 'what changed, in transactions');
I gov_entities agent-11 -
U gov_assignments $assignment 12.5
U gov_entities agent-11 archived / I gov_capabilities calls -
D gov_assignments $assignment -
END
$node->safe_psql('postgres', "select pg_drop_replication_slot('push_catalog')");

# ---------------------------------------------------------------- a publication of everything

# Tools make such a one without being asked. No table may then refuse its updates.
$node->safe_psql('postgres', 'create publication everything for all tables');
foreach my $amount (1 .. 3)
{
	gov_use($node, 'postgres', $amount, agent => 'agent-2');
	gov_roll_up($node, 'postgres');
}
$node->safe_psql('postgres', q{
	insert into gov_alert_policies (owner_id, thresholds) values ('acme', '{80}'), (null, '{90}');
	update gov_alert_policies set thresholds = '{95}';
	delete from gov_alert_policies;
	update gov_assignments set cadence = 'P1M' where entity_id = 'agent-3'});
gov_is_exact($node, 'postgres', 'all tables published', agent => 'agent-2');
$node->safe_psql('postgres', q{select gov_delete_owner('acme')});
is($node->safe_psql('postgres', q{select count(*) from gov_events}), 0, 'an owner goes too');

$node->stop;
done_testing();
