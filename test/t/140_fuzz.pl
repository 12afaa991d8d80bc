# Every function of the extension, as the catalogs list them, internal ones too, is called with values of every kind (test/perl/GovFuzz.pm) by
# every kind of role, in and out of transactions, and the tables that users change are changed with the same. Whatever comes in: the
# server stays up and its log is quiet, no error is an internal one, each has an SQLSTATE that the function's comment documents, no
# session's memory grows, gov_verify() finds nothing, and what is meant well is done as before.
#
#     test/fuzz [CALLS [SEED]]     so many calls; the same seed makes the same calls

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use GovFuzz;
use GovSession;
use GovTest;

my $encoding = $ENV{GOVERNANCE_ENCODING} // 'UTF8';
my $calls = $ENV{FUZZ_CALLS} // ($encoding eq 'UTF8' ? 20000 : 5000);
my $seed = $ENV{FUZZ_SEED} // 51;	# one of its own each time: test/fuzz
my $BATCH = 25;
my $CALLS_BETWEEN_REPAIRS = 500;
my $node = gov_node('fuzz', conf => <<CONF);
restart_after_crash = off
log_error_verbosity = verbose
log_min_error_statement = panic
statement_timeout = '5s'
lock_timeout = '5s'
governance.cache_size = '8MB'
CONF

# In a build that can be made to fail (src/base/fault.c), allocations, statements and rows fail too.
my $has_faults = $node->psql('postgres', 'show governance.fault_at') == 0;

note "FUZZ_SEED=$seed FUZZ_CALLS=$calls";
fuzz_seed($seed);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# ---------------------------------------------------------------- roles, data, and what the catalogs say

sql(slurp_file("$FindBin::RealBin/../fuzz_data.sql"));
sql(q{
	grant select on pg_backend_memory_contexts to public;
	grant execute on function pg_get_backend_memory_contexts() to public;
	create role fuzz_public login; create role fuzz_super login superuser; create role fuzz_victim});
foreach my $role (qw(app reader tenant admin))
{
	sql("create role fuzz_$role login; select gov_grant('fuzz_$role', '$role'); create role fuzz_pinned_$role login; alter role fuzz_pinned_$role set governance.owner = 'acme'; select gov_grant('fuzz_pinned_$role', '$role')");
}

my %session = map { ($_ => open_session($_)) } qw(public app reader admin pinned_app pinned_reader pinned_tenant pinned_admin super);

sub open_session
{
	my ($role) = @_;
	local $ENV{PGUSER} = "fuzz_$role";
	my $session = GovSession->new($node, $role);

	$session->run('\set VERBOSITY verbose' . "\n" . '\o /dev/null');
	return $session;
}

my $members = q{from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
	join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and e.extname = 'governance'};
my @functions = map { my @f = split /\x1f/, $_, -1; { name => $f[0], types => [ split /\|/, $f[1] ], arguments => [ split /\|/, $f[2] ], defaults => $f[3], returns => $f[4], comment => $f[5] } }
  split /\x1e/, sql(qq{
	select string_agg(concat_ws(E'\\x1f', p.proname, (select coalesce(string_agg(format_type(t.type, null), '|' order by t.n), '') from unnest(p.proargtypes) with ordinality t (type, n)),
		coalesce(array_to_string(p.proargnames[1:p.pronargs], '|', ''), ''), p.pronargdefaults, p.prorettype::regtype, coalesce(obj_description(p.oid, 'pg_proc'), '')), E'\\x1e'
		order by p.oid::regprocedure::text) $members});
cmp_ok(scalar @functions, '>', 150, 'there are functions');

my %kinds;
push @{ $kinds{ $_->{returns} eq 'trigger' ? 'trigger' : $_->{name} =~ /^_/ ? 'internal' : 'public' } }, $_ foreach @functions;

# By role, what it has the right to call. Others try that now and then.
my %may_call;
foreach my $role (qw(app reader pinned_app pinned_reader pinned_tenant public))
{
	my %has = map { ($_ => 1) } split /\n/, sql(qq{select p.proname $members where has_function_privilege('fuzz_$role', p.oid, 'execute') and p.prorettype <> 'trigger'::regtype});

	$may_call{$role} = [ grep { $has{ $_->{name} } } @functions ] if %has;
}

# The keys of JSON documents and the form of each, as the functions that read them have them.
my %forms;
my $sources = sql("select string_agg(p.prosrc, E'\\n') $members");
while ($sources =~ /forms constant jsonb := '(\{[^']*\})';.*?_gov_items\([^,]+, '(\w+)', forms/gs)
{
	my ($object, $wrapper) = ($1, $2);

	$forms{$wrapper}{$1} = $2 while $object =~ /"(\w+)": "([^"]*)"/g;
}
cmp_ok(scalar keys %forms, '>=', 6, 'and documents');
fuzz_learn(forms => \%forms, any_bytes => $encoding eq 'SQL_ASCII');

# The columns of the tables that users change, but those that the engine fills.
my %columns;
foreach (split /\n/, sql(q{select attrelid::regclass, attname, format_type(atttypid, null) from pg_attribute where attnum > 0 and not attisdropped and attgenerated = '' and attname not in ('counter', 'created_at', 'updated_at', 'created_by')
	and attrelid = any ('{gov_entity_types,gov_capabilities,gov_entities,gov_assignments,gov_default_assignments,gov_boosts,gov_prices,gov_grants,gov_alert_policies,gov_increase_requests}'::regclass[]) order by 1, attnum}))
{
	my ($table, $column, $type) = split /\|/;

	push @{ $columns{$table} }, [ $column, $type ];
}
my @tables = sort keys %columns;

# Function: the SQLSTATEs that its comment documents, and those of the functions that it refers to.
my (%comments, %documented);
$comments{ $_->{name} } .= $_->{comment} foreach @functions;

sub documented
{
	my ($name, %on_the_way) = @_;

	return $documented{$name} if $documented{$name};
	my $errors = join ' ', ($comments{$name} // '') =~ /errors: (.*(?:\n .*)*)/g;
	my %states = map { ($_ => 1) } $errors =~ /\b((?=[A-Z]*\d)[0-9A-Z]{5})\b/g;

	foreach my $other ($errors =~ /\b(gov_\w+)/g)
	{
		%states = (%states, %{ documented($other, %on_the_way, $name => 1) }) unless $on_the_way{$other} || $other eq $name;
	}
	return %on_the_way ? \%states : ($documented{$name} = \%states);
}

# ---------------------------------------------------------------- a call

sub arguments_of
{
	my ($function) = @_;
	my @types = @{ $function->{types} };
	my $least = @types - $function->{defaults};
	my $many = $least + fuzz_int(1 + $function->{defaults});

	return map { fuzz_value($types[$_], $function->{arguments}[$_] // '') } 0 .. $many - 1;
}

# Text that does a call, and the values in it.
sub random_call
{
	my ($role, $is_in_transaction) = @_;
	my $functions = fuzz_chance(0.05) ? $kinds{trigger} : $may_call{$role} && fuzz_chance(0.97) ? $may_call{$role} : $kinds{ fuzz_one_of('internal', 'public', 'public', 'public') };
	my $function = fuzz_one_of(@$functions);

	# what does much is tried less often
	$function = fuzz_one_of(@$functions) if $function->{name} =~ /^gov_(grant|revoke|verify|setup_check|maintain|drop_cache|delete_owner|refresh|recount)$/ && fuzz_chance(0.7);
	return fire_trigger($function) if $function->{returns} eq 'trigger';
	my @values = arguments_of($function);
	my $call = "public.$function->{name}(" . join(', ', @values) . ')';
	my $form = fuzz_int(20);
	my $sql =
	    $form < 9 ? "select $call"
	  : $form < 15 ? "select * from $call"
	  : $form == 15 ? "do \$fuzz\$ begin perform $call; exception when others then raise; end \$fuzz\$"
	  : $form == 16 ? "select $call from generate_series(1, 3)"
	  : $form == 17 && $is_in_transaction ? "declare c cursor for select * from $call; fetch 1 from c; close c"
	  : $form == 18 ? "select ($call)"
	  : $form == 19 && @values && "@{$function->{types}}" !~ /internal|anyarray/ && "@values" !~ /select/
	  ? 'prepare p as select public.' . $function->{name} . '(' . join(', ', map { "\$$_" } 1 .. @values) . '); execute p(' . join(', ', @values) . '); deallocate p'
	  : "select count(*) from $call";

	return { name => $function->{name}, sql => $sql, values => \@values };
}

sub fire_trigger
{
	my ($function) = @_;
	my $when = fuzz_one_of('before', 'after') . ' ' . fuzz_one_of('insert', 'update', 'delete');

	return { name => 'trigger', values => [], sql => "do \$fuzz\$ begin create temporary table odd (owner_id text, id text, parent_id text, scope_entity_ids int, usage_limit text); insert into odd values ('acme', 'ann');"
		  . " create trigger t $when on odd for each " . fuzz_one_of('row', 'statement') . " execute function public.$function->{name}(); insert into odd values ('acme', 'ann'); update odd set id = 'x'; delete from odd; raise 'went through'; end \$fuzz\$" };
}

sub random_change
{
	my $table = fuzz_one_of(@tables);
	my @chosen = grep { $_->[0] =~ /^(owner_id|entity_id|capability_id|type_id|amount|quantity|match|price|assignment_id)$/ ? fuzz_chance(0.9) : fuzz_chance(0.15) } @{ $columns{$table} };
	my @values = map { fuzz_value($_->[1], $_->[0]) } @chosen;
	my $rows = "ctid in (select ctid from public.$table order by 1 offset " . fuzz_int(20) . ' limit ' . fuzz_one_of(1, 1, 2, 50) . ')';
	my $kind = fuzz_int(10);
	my $sql;

	if ($kind == 0) { $sql = "delete from public.$table where $rows"; @values = (); }
	elsif ($kind < 4 && @chosen)
	{
		my $n = fuzz_int(scalar @chosen);
		@values = $values[$n];
		$sql = "update public.$table set $chosen[$n][0] = $values[0] where $rows";
	}
	else { $sql = "insert into public.$table (" . join(', ', map { $_->[0] } @chosen) . ') values (' . join(', ', @values) . ')' . (fuzz_chance(0.5) ? ' on conflict do nothing' : ''); }
	$sql = "insert into public.$table default values" if !@chosen;
	return { name => 'change', sql => $sql, values => \@values };
}

# ---------------------------------------------------------------- what may not happen

my (@wrong, %raised, %slow);
my $granted = 0;

sub judge
{
	my ($call, $answer) = @_;
	my ($state, $message) = $answer =~ /(?:ERROR|FATAL|PANIC):  ([0-9A-Z]{5}): ([^\n]*)/ or return;

	$raised{$state}++;
	$slow{ $call->{name} }++ if $state eq '57014';
	return if $state =~ /^(57014|25P02|55P03|34000)$/;
	return if $state eq '42501' && $message =~ /^permission denied|row-level security/;
	return if $state eq '25006' && $call->{is_read_only};
	return if $state =~ /^(53200|53100|58030|40P01)$/ && $call->{has_fault};
	if ($state !~ /^(XX|F0|58)/)
	{
		return if $call->{name} =~ /^(_.*|trigger)$/;
		return if $call->{name} eq 'change' && $state =~ /^(22|23|42704|42501|428C9|GV003|54000|55000|40001|P0001|42804|GV003)/;
		return if documented($call->{name})->{$state};
	}
	# not what the values themselves raise
	return if @{ $call->{values} } && ($node->psql('postgres', 'select ' . join(', ', map { s/(?:null|::)internal//gr || 'null' } @{ $call->{values} })))[0] != 0;
	push @wrong, sprintf "%s by %s: %s %s\n    call %d of FUZZ_SEED=%s: %s", @$call{qw(name role)}, $state, $message, $call->{number}, $seed, substr($call->{sql}, 0, 3000);
	return;
}

# The server's log since the last look, but for errors of calls.
sub look_at_log
{
	my $log = slurp_file($node->logfile);
	my @lines = grep { /PANIC|TRAP:|terminated by signal|WARNING: .*leak|XX00\d: |AddressSanitizer|runtime error:/ } split /\n/, $log;

	return join "\n", @lines[ 0 .. ($#lines > 20 ? 20 : $#lines) ];
}

# By the name of the context, what a session has, but for what works for one statement, and plans: a trigger's function has one for each table.
sub memory_of
{
	my ($session) = @_;
	my ($answer) = $session->run("\\o\nselect name, sum(used_bytes) from pg_backend_memory_contexts where name !~ '^(MessageContext|LocalBufferContext|Executor|ExprContext|PortalContext|TupleSort|printtup|WAL record|smgr|LOCALLOCK|Portal hash|Cur|TransactionAbort|SPI|index info|relation rules|CachedPlan|PL.pgSQL|PLpgSQL)' group by 1;\n\\o /dev/null");

	return { map { /^(.*)\|(\d+)$/ ? ($1 => $2) : () } split /\n/, $answer };
}

# ---------------------------------------------------------------- the run

my @ROLES = (('super') x 6, ('app') x 3, 'pinned_app', 'reader', 'pinned_reader', ('pinned_tenant') x 3, ('admin') x 3, 'pinned_admin', 'public');
my @SETTINGS = ("governance.on_ungoverned = 'deny'", "governance.on_ungoverned = 'error'", "governance.on_unavailable = 'deny'", "governance.on_unavailable = 'grant'", 'governance.use_cache = off', "governance.reason = 'fuzz'", "governance.caller = 'fuzz'",
	'governance.dimensions_max = 64', 'governance.query_memory = 64', 'governance.created_entities_max = 1', "timezone = 'Asia/Kolkata'", "intervalstyle = 'iso_8601'", "datestyle = 'German'", "extra_float_digits = -15", "work_mem = '64kB'", 'enable_seqscan = off', "plan_cache_mode = 'force_generic_plan'", "statement_timeout = '2ms'", "statement_timeout = '5ms'", 'row_security = off', "search_path = ''", 'session_replication_role = replica');

sub repair
{
	my ($when) = @_;
	my ($failed, undef, $error) = $node->psql('postgres', fuzz_data());

	return unless $failed;
	# whatever a change has left in the way
	($failed, undef, $error) = $node->psql('postgres', "select gov_thaw_owner(id), gov_delete_owner(id) from (select owner_id from gov_entities union select owner_id from gov_assignments) o (id); delete from gov_default_assignments; delete from gov_prices; delete from gov_entity_types; delete from gov_capabilities;\n" . fuzz_data());
	push @wrong, "$when the customers cannot be made again: $error" if $failed;
	return;
}

sub random_batch
{
	my ($first) = @_;
	my $role = fuzz_one_of(@ROLES);
	my $is_in_transaction = fuzz_chance(0.5);
	my $is_read_only = $is_in_transaction && fuzz_chance(0.1);
	my @script;
	my @calls;

	push @script, '\set ON_ERROR_ROLLBACK ' . ($is_in_transaction && fuzz_chance(0.9) ? 'on' : 'off');
	push @script, 'set ' . fuzz_one_of(@SETTINGS) . ';' if fuzz_chance(0.2);
	push @script, 'begin isolation level ' . fuzz_one_of(('read committed') x 3, 'repeatable read', 'serializable') . ($is_read_only ? ' read only' : '') . ';' if $is_in_transaction;
	foreach my $number ($first .. $first + $BATCH - 1)
	{
		my $call = fuzz_chance(0.15) ? random_change() : random_call($role, $is_in_transaction);

		# not while a change is under way that its session has to end first
		push @script, fuzz_one_of('savepoint a', 'rollback to a', 'release a') . ';' if $is_in_transaction && fuzz_chance(0.1);
		@$call{qw(number role is_read_only)} = ($number, $role, $is_read_only);
		$call->{has_fault} = $has_faults && $role eq 'super' && fuzz_chance(0.15);
		push @script, 'set governance.fault_at = ' . (1 + fuzz_int(fuzz_one_of(5, 20, 100))) . ';' if $call->{has_fault};
		push @script, "\\echo call $number", "$call->{sql};", "\\echo done";
		push @script, 'reset governance.fault_at;' if $call->{has_fault};
		push @calls, $call;
	}
	push @script, (fuzz_chance(0.7) ? 'commit' : 'rollback') . ';' if $is_in_transaction;
	return ($role, join("\n", @script, 'deallocate all; discard temp; reset all;'), @calls);
}

my $began = time;
my %recent;
my $number = 1;
my $say = $ENV{FUZZ_SAY};

repair('at the beginning');
while ($number <= $calls && @wrong < 200)
{
	my ($role, $script, @batch) = random_batch($number);
	print STDERR "$script\n" if $say;
	my ($answer, $is_there) = $session{$role}->run($script);
	my %answers = $answer =~ /^call (\d+)\n(.*?)(?=^done$|\z)/msg;

	print STDERR $answer if $say;
	judge($_, $answers{ $_->{number} } // '') foreach @batch;
	if (!$is_there || index($answer, 'connection to server was lost') >= 0)
	{
		my ($last) = sort { $b <=> $a } keys %answers;

		push @wrong, "a session of $role has ended: " . substr($answer, -500) . "\n" . join "\n", map { $_->{number} == $last ? "    call $last of FUZZ_SEED=$seed: $_->{sql}" : () } @batch;
		last if !eval { sql('select 1') };
		$session{$role} = open_session($role);
	}
	$number += $BATCH;
	repair("before call $number") if int($number / $CALLS_BETWEEN_REPAIRS) != int(($number - $BATCH) / $CALLS_BETWEEN_REPAIRS);
	# what was asked last is asked again below
	unshift @{ $recent{$role} }, $script;
	pop @{ $recent{$role} } if @{ $recent{$role} } > 8;
}
note sprintf '%d calls in %.0f s; raised: %s; cancelled: %s', $number - 1, time - $began, join(' ', map { "$_ x$raised{$_}" } sort keys %raised), join ' ', map { "$_ x$slow{$_}" } sort keys %slow;

my %shown;
foreach (@wrong)
{
	my ($what) = /^(\S+ by \S+: .{30})/;

	$shown{ ($what // $_) =~ s/ by \S+//r }++ or diag $_;
}
is(scalar @wrong, 0, "nothing that may not happen, in $calls calls of seed $seed");
is(look_at_log(), '', 'the log is quiet');

# ---------------------------------------------------------------- memory

# A session that is asked the same again and again has read by the second time what it keeps.
foreach my $role (sort keys %session)
{
	my @script = @{ $recent{$role} // [] } or next;
	my @memory;

	foreach my $pass (1 .. 6)
	{
		$session{$role}->run($_) foreach @script;
		$memory[$pass] = memory_of($session{$role});
	}
	my %grown = map { ($_ => $memory[6]{$_} - ($memory[3]{$_} // 0)) } keys %{ $memory[6] };
	my $total = 0;

	$total += $_ foreach values %grown;
	cmp_ok($total, '<', 300_000, "the memory of $role stays as it is");
	note "$role: $total " . join ', ', map { "$_ $memory[3]{$_}+$grown{$_}" } grep { abs $grown{$_} > 2000 } sort keys %grown;
}

# ---------------------------------------------------------------- afterwards

$_->close foreach values %session;
repair('at the end');
is(scalar @wrong, 0, 'the customers are made again') or diag $wrong[-1];
gov_roll_up($node, 'postgres');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');
is(sql(q{select gov_delete_owner('globex')}), '', 'an owner goes');
sql(fuzz_data());
is(sql(q{select is_granted from gov_consume('globex', 'tokens', 1, null, '{bot}')}), 't', 'and what is meant well is done');

$node->stop;
is(look_at_log(), '', 'the log is quiet to the end');
done_testing();
