# The examples, run as their README says: each application against a server and the stand-in model. Granted and settled
# with the true usage, released when the model fails, denied with Retry-After, rolled back with the application's own
# rows, repeated, caught by a crash of the server, and killed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use File::Copy qw(copy);
use IO::Socket::INET;
use IPC::Run;
use JSON::PP qw(decode_json encode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $examples = "$FindBin::RealBin/../../examples";
my $dir = PostgreSQL::Test::Utils::tempdir;
my $patience = $PostgreSQL::Test::Utils::timeout_default;
my @running;

END
{
	local $?;
	$_->kill_kill foreach @running;
}

plan skip_all => 'no python3' unless defined output_of('python3', '--version');

# ---------------------------------------------------------------- what is installed

# Answers nothing if the command fails.
sub output_of
{
	my (@command) = @_;
	my ($out, $err) = ('', '');

	return eval { IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err) } ? $out : undef;
}

# The command that starts the Python example, or nothing.
sub python
{
	foreach my $python ('python3', '/usr/bin/python3')
	{
		return [ $python, '-B', "$examples/python/app.py" ]
		  if defined output_of($python, '-c', 'import psycopg, psycopg_pool');
	}
	return;
}

# The same for TypeScript: Debian keeps node's modules in one place, npm beside the example. Built in a directory of
# its own.
sub typescript
{
	my ($modules) = grep { -d "$_/pg" && -d "$_/typescript" } "$examples/typescript/node_modules", '/usr/share/nodejs';
	my $build = "$dir/typescript";

	return unless defined $modules && defined output_of('node', '--version');
	mkdir $build;
	copy("$examples/typescript/$_", "$build/$_") or die "$_: $!"
	  foreach qw(app.ts governance.ts many.ts package.json tsconfig.json);
	symlink $modules, "$build/node_modules" or die $!;
	command_ok([ 'node', "$build/node_modules/typescript/bin/tsc", '-p', $build ],
		'TypeScript: the types are right');
	return [ 'node', "$build/dist/app.js" ];
}

# ---------------------------------------------------------------- servers and requests

# Start a program that says where it listens. Its complaints go to a file.
sub start_listening
{
	my ($name, %env) = @_;
	my $command = delete $env{command};
	my $server = { log => "$dir/$name.log", out => '' };

	local @ENV{ keys %env } = values %env;
	push @running, $server->{process} = IPC::Run::start($command, '<', \undef, '>', \$server->{out},
		'2>', $server->{log}, my $timer = IPC::Run::timeout($patience));
	$server->{process}->pump
	  until $server->{out} =~ /^listening on http:\S+:(\d+)$/m || !$server->{process}->pumpable;
	$timer->reset;
	$server->{port} = $1 // die "$name did not start:\n" . slurp_file($server->{log});
	return $server;
}

# Send a signal and wait for the end; says whether it went well.
sub end_with
{
	my ($server, $signal) = @_;

	$server->{process}->signal($signal);
	@running = grep { $_ != $server->{process} } @running;
	return $server->{process}->finish;
}

# Send a request, and leave it under way.
sub send_post
{
	my ($server, $path, $key, $body) = @_;
	my $content = encode_json($body);
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->{port}) or die $!;

	print $socket join "\r\n", "POST $path HTTP/1.0", 'X-Customer: cus-acme',
	  'Content-Length: ' . length $content,
	  defined $key ? "Idempotency-Key: $key" : (), '', $content;
	$socket->flush;
	return $socket;
}

# Its answer: status, retry_after and what the body holds.
sub receive
{
	my ($socket) = @_;
	my $answer = '';

	local $SIG{ALRM} = sub { die "no answer\n" };
	alarm $patience;
	{
		local $/;
		$answer = <$socket> // '';
	}
	alarm 0;
	my ($head, $body) = split /\r\n\r\n/, $answer, 2;
	my ($status) = ($head // '') =~ m{^HTTP/1\.\d (\d+)} or return { status => 'none' };
	my ($retry_after) = $head =~ /^Retry-After: (.*?)\r?$/mi;
	return { %{ decode_json($body) }, status => $status, retry_after => $retry_after };
}

sub post { return receive(send_post(@_)) }

# ---------------------------------------------------------------- one server for all

my $node = gov_node('examples');

$node->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$examples/schema.sql" ],
	'schema.sql');

# No window turns during the test, but for the one that is meant to.
$node->safe_psql('postgres', q{
	update gov_assignments set anchor_at = now() where cadence is not null;
	insert into gov_entities (owner_id, id, type_id) values
		('cus-acme', 'agent-small', 'agent'), ('cus-acme', 'agent-quick', 'agent'), ('cus-acme', 'agent-tool', 'agent');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, anchor_at) values
		('cus-acme', 'agent-small', 'ai-tokens', 100, 'P1D', now()),
		('cus-acme', 'agent-small', 'ai-dollars', 1, 'P1D', now()),
		('cus-acme', 'agent-small', 'ai-requests', 10, 'P1D', now()),
		('cus-acme', 'agent-quick', 'ai-images', 1, 'PT2S', now()),
		('cus-acme', 'agent-tool', 'ai-tools', 10, 'P1D', now())});

sub test_language
{
	my ($language, $command) = @_;
	my $db = lc $language;
	my $model = start_listening("$db-model", command => [ 'python3', "$examples/model_server.py", 0 ]);
	my @as_gateway = (
		command => $command, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'gateway', PGDATABASE => $db,
		PORT => 0, MODEL_URL => "http://127.0.0.1:$model->{port}");

	$node->safe_psql('postgres', "create database $db template postgres");
	my $app = start_listening($db, @as_gateway);

	my $ask = sub { return $node->safe_psql($db, @_) };
	my $is = sub {
		local $Test::Builder::Level = $Test::Builder::Level + 1;
		my ($got, $wanted, $label) = @_;

		is($got, $wanted, "$language: $label");
	};
	my $events = sub { return $ask->('select count(*) from gov_events') };
	my $used = sub {
		my ($agent, $capability) = @_;

		return $ask->("select string_agg(format('%s %s+%s', entity_id, current_usage, reserved_usage), ' ' order by entity_id desc)
			from gov_headroom('cus-acme', '$capability', 0, null, array['$agent'])");
	};
	my $hold = sub {
		my ($key) = @_;

		return $ask->("select format('%s %s %s', amounts ->> 'ai-tokens', state, coalesce(settled_amounts ->> 'ai-tokens', '-'))
			from gov_reservations where idempotency_key = '$key'");
	};
	# what the uses of a key were priced by, and what that made
	my $priced = sub {
		my ($key) = @_;

		return $ask->("select format('%s %s', e.quantities, e.amount) from gov_reservations r
			join gov_events e on e.id = (r.event_ids ->> 'ai-dollars')::bigint where r.idempotency_key = '$key'");
	};
	my $chat = sub { return { agentId => 'agent-7', model => 'stand-in', prompt => 'hello there', maxTokens => 50, @_ } };
	my $image = sub { return { agentId => 'agent-7', @_ } };

	# ---- settled with the true usage

	my $first = post($app, '/chat', 'chat-1', $chat->());
	$is->("$first->{status} $first->{answer}", '200 You said: hello there', 'a chat is answered');
	$is->($hold->('chat-1'), "53 settled $first->{tokens}", 'what may be used is held, what was used is settled');
	$is->($first->{tokens}, 9, 'and is less');
	$is->($ask->("select owner_id, capability_id, amount, caller, dimensions ->> 'model' from gov_events order by id"), <<'END' =~ s/\n\z//r, 'the ledger has the true usage, and what it cost');
cus-acme|ai-dollars|0.0000675|gateway|stand-in
cus-acme|ai-requests|1|gateway|stand-in
cus-acme|ai-tokens|9|gateway|stand-in
END
	$is->($priced->('chat-1'), '{"input": 3, "cached": 0, "output": 6} 0.0000675', 'by the tokens in and out');
	$is->($ask->("select amounts ->> 'ai-dollars' from gov_reservations where idempotency_key = 'chat-1'"), '0.0005075', 'of which more was held');
	$is->($used->('agent-7', 'ai-tokens'), 'team-eng 9+0 agent-7 9+0', 'it counts for the agent and its team, and nothing is held');
	$is->($used->('agent-7', 'ai-dollars'), 'team-eng 0.0000675+0', 'as does the money for the team');
	$is->($ask->("select answer, tokens from chats join gov_reservations r on r.id = reservation_id and idempotency_key = 'chat-1'"),
		'You said: hello there|9', 'the row is committed with it');

	my $again = post($app, '/chat', 'chat-1', $chat->());
	$is->("$again->{status} $again->{answer}", '200 You said: hello there', 'the same key gets the same answer');
	$is->(post($app, '/chat', 'chat-1', $chat->(maxTokens => 51))->{status}, 409, 'the same key for another request is refused');
	$is->($events->(), 3, 'neither charges anything');

	# ---- released

	$is->(post($app, '/chat', 'chat-2', $chat->(model => 'stand-in-failing'))->{status}, 502, 'the model fails');
	$is->($hold->('chat-2'), '53 released -', 'its hold is released');
	$is->(post($app, '/chat', 'chat-2', $chat->(model => 'stand-in-failing'))->{error},
		'the request with this key has failed: use a new key to try again', 'the key is used up');

	my $hasty = start_listening("$db-hasty", @as_gateway, MODEL_TIMEOUT_SECONDS => 0.5);
	$is->(post($hasty, '/chat', 'chat-3', $chat->(model => 'stand-in-hanging'))->{status}, 502, 'the model does not answer in time');
	$is->($hold->('chat-3'), '53 released -', 'its hold is released');
	$is->($used->('agent-7', 'ai-tokens') . ' ' . $events->(), 'team-eng 9+0 agent-7 9+0 3', 'nothing of both is counted');

	# ---- denied

	my $seconds = sub {
		return $ask->("select ceil(extract(epoch from usage_period_end - now())) from gov_headroom('cus-acme', 'ai-tokens', 0, null, '{agent-small}')");
	};
	my $waiting = send_post($app, '/chat', 'chat-4', $chat->(agentId => 'agent-small', model => 'stand-in-waiting', maxTokens => 80));
	$node->poll_query_until($db, "select exists (select from gov_holds where idempotency_key = 'chat-4')") or die;
	$is->($used->('agent-small', 'ai-tokens'), 'agent-small 0+83', 'a hold counts while the model works');
	$is->(post($app, '/chat', 'chat-4', $chat->(agentId => 'agent-small', model => 'stand-in-waiting', maxTokens => 80))->{error},
		'a request with this key is in progress', 'the same key waits for it');

	my $most = $seconds->();
	my $denied = post($app, '/chat', 'chat-5', $chat->(agentId => 'agent-small'));
	my $least = $seconds->();
	$is->("$denied->{status} $denied->{error}", '429 BudgetExceeded', 'what does not fit beside it is denied');
	ok($least <= $denied->{retry_after} && $denied->{retry_after} <= $most, "$language: Retry-After is when the window ends")
	  or diag "$least <= $denied->{retry_after} <= $most";
	$is->($hold->('chat-5') . $events->(), '3', 'a denial leaves nothing');

	my $excessive = post($app, '/chat', undef, $chat->(maxTokens => 2000));
	$is->("$excessive->{status} $excessive->{error}", '429 RequestedUsageExceedingLimit', 'more than the whole budget is denied');
	$is->($excessive->{retry_after}, undef, 'and waiting would not help');
	$is->(post($app, '/chat', undef, $chat->(agentId => 'agent-70'))->{status}, 429, 'an agent that no budget governs is denied');

	$is->(post($app, '/chat', undef, $chat->(maxTokens => -60))->{status}, 400, 'an amount that makes no sense is refused');
	my $unpriced = post($app, '/chat', undef, $chat->(model => 'stand-in-new'));
	$is->($unpriced->{status}, 400, 'and a model that has no price');
	like($unpriced->{error}, qr/no price/, "$language: which is said");
	$is->($ask->("update gov_assignments set usage_limit = 0.0004 where entity_id = 'team-eng' and capability_id = 'ai-dollars' returning 1")
		. post($app, '/chat', 'chat-money', $chat->())->{error}, '1RequestedUsageExceedingLimit', 'what would cost too much is denied');
	$is->($used->('agent-7', 'ai-tokens') . ' ' . $ask->("update gov_assignments set usage_limit = 20 where entity_id = 'team-eng' and capability_id = 'ai-dollars' returning 1"),
		'team-eng 9+0 agent-7 9+0 1', 'and takes no tokens either');

	# ---- the server crashes while the model works

	$node->stop('immediate');
	my $released;
	do { $released = post($model, '/continue', undef, {})->{released} } until $released == 1;
	foreach (1 .. 10 * $patience)
	{
		last if slurp_file($app->{log}) =~ /trying again/;
		select undef, undef, undef, 0.1;
	}
	like(slurp_file($app->{log}), qr/trying again/, "$language: settling fails and is tried again");
	$node->start;
	my $late = receive($waiting);
	$is->("$late->{status} $late->{answer}", '200 You said: hello there', 'an answer survives a crash of the server');
	$is->($hold->('chat-4'), '83 settled 9', 'what it used is settled');
	$is->($priced->('chat-4'), '{"input": 1, "cached": 2, "output": 6} 0.000063', 'what came from the cache is cheaper');
	$is->($used->('agent-small', 'ai-tokens'), 'agent-small 9+0', 'once');
	$is->(post($app, '/chat', 'chat-5', $chat->(agentId => 'agent-small'))->{status}, 200,
		'what was denied fits now, with the same key');

	# ---- with the application's own rows

	my $cat = post($app, '/images', 'image-1', $image->(name => 'cat'));
	$is->($cat->{status}, 200, 'an image is made');
	$is->($ask->('select i.owner_id, name, amount from images i join gov_events on id = event_id'), 'cus-acme|cat|1', 'its row belongs to its use');
	$is->(post($app, '/images', 'image-1', $image->(name => 'cat'))->{id}, $cat->{id}, 'the same key gets the same image');
	$is->(post($app, '/images', 'image-2', $image->(name => 'cat'))->{status}, 409, 'a name that is taken rolls back');
	$is->($used->('agent-7', 'ai-images') . ' ' . $ask->("select count(*) from gov_events where capability_id = 'ai-images'"),
		'agent-7 1+0 1', 'and gives the budget back');
	$is->(post($app, '/images', 'image-2', $image->(name => 'dog'))->{status}, 200, 'its key was never used');
	post($app, '/images', 'image-3', $image->(name => 'emu'));

	my $spent = post($app, '/images', 'image-4', $image->(name => 'fox'));
	$is->("$spent->{status} $spent->{error}", '429 BudgetExceeded', 'a spent budget denies');
	$is->($spent->{retry_after}, undef, 'without Retry-After, because it never resets');
	$is->($ask->("select string_agg(name, ' ' order by name) from images"), 'cat dog emu', 'and nothing is inserted');

	# A client that waits as long as it is told gets through.
	my ($n, $quick) = (0);
	do { $quick = post($app, '/images', undef, $image->(agentId => 'agent-quick', name => 'quick-' . $n++)) }
	  while $quick->{status} == 200 && $n < 50;
	$is->($quick->{status}, 429, 'a short window is spent');
	sleep $quick->{retry_after};
	$is->(post($app, '/images', undef, $image->(agentId => 'agent-quick', name => 'quick-last'))->{status}, 200, 'and open after Retry-After');

	# ---- many at a time

	my $tool = sub { return { agentId => 'agent-7', tool => 'search', @_ } };
	my @sent = map { send_post($app, '/tools', "tool-$_", $tool->(agentId => 'agent-tool')) } 1 .. 15;
	my @decided = sort map { receive($_)->{status} } @sent;
	$is->("@decided", join(' ', (200) x 10, (429) x 5), 'uses of many requests are decided each by itself');
	my ($tools, $commits, $tool_key) = split /\|/,
	  $ask->("select count(*), count(distinct xmin::text), min(idempotency_key) from gov_events where capability_id = 'ai-tools'");
	$is->($tools, 10, 'and recorded');
	cmp_ok($commits, '<', 10, "$language: some in one commit");
	$is->(post($app, '/tools', $tool_key, $tool->(agentId => 'agent-tool'))->{status}, 200, 'the same key is answered again');
	$is->(post($app, '/tools', $tool_key, $tool->(agentId => 'agent-tool', tool => 'other'))->{status}, 400, 'for another use it is refused');
	$is->(post($app, '/status', undef, {})->{letThrough}, 0, 'none was let through');

	# ---- the server crashes under load: one application is open then, the other one closed

	my $uses = "$dir/$db.uses";
	my $open = start_listening("$db-open", @as_gateway, WHEN_UNAVAILABLE => 'open', UNAVAILABLE_SECONDS => 1, USES_FILE => $uses);
	@sent = map { send_post($open, '/tools', "load-$_", $tool->()) } 1 .. 20;
	$node->stop('immediate');
	my $began = time;
	push @sent, map { send_post($open, '/tools', "load-$_", $tool->()) } 21 .. 40;
	$is->(scalar(grep { receive($_)->{status} == 200 } @sent), 40, 'an open gate lets everything through');
	$is->(post($app, '/tools', 'closed', $tool->())->{status}, 503, 'a closed one nothing');
	cmp_ok(time - $began, '<', $patience / 2, "$language: and neither waits for long");
	my $let_through = post($open, '/status', undef, {})->{letThrough};
	cmp_ok($let_through, '>=', 20, "$language: what is let through is counted");
	$is->(scalar(split /\n/, slurp_file($uses)), $let_through, 'and kept');

	$node->start;
	my %connection = @as_gateway[ 2 .. 9 ];
	my $record = sub {
		local @ENV{ keys %connection } = values %connection;
		return output_of((map { s/\bapp\.(py|js)$/many.$1/r } @$command), $uses);
	};
	my ($recorded, $known) = $record->() =~ /^recorded (\d+), known (\d+)$/m;
	$is->($recorded + $known, $let_through, 'later it is recorded');
	$is->($record->(), "recorded 0, known $let_through\n", 'and not twice');
	$is->($ask->("select count(*), count(distinct idempotency_key) from gov_events where idempotency_key like 'load-%'"), '40|40', 'each use once');
	my $asked;
	foreach my $n (1 .. 10 * $patience)
	{
		$asked = post($open, '/tools', "after-$n", $tool->())->{isAsked};
		last if $asked;
	}
	ok($asked, "$language: and the gate asks again");
	ok(end_with($open, 'TERM'), "$language: it ends when told to") or diag slurp_file($open->{log});

	# ---- the application is killed while the model works

	my $doomed = start_listening("$db-doomed", @as_gateway, HOLD_TTL_SECONDS => 2);
	my $lost = send_post($doomed, '/chat', 'chat-6', $chat->(model => 'stand-in-hanging'));
	$node->poll_query_until($db, "select exists (select from gov_reservations where idempotency_key = 'chat-6')") or die;
	end_with($doomed, 'KILL');
	$node->poll_query_until($db, "select state = 'expired' from gov_reservations where idempotency_key = 'chat-6'")
	  or die 'the hold does not expire';
	$is->($used->('agent-7', 'ai-tokens'), 'team-eng 9+0 agent-7 9+0', 'its hold expires by itself');
	$is->($ask->("select is_duplicate from gov_reservations r, gov_settle_all(r.id, '{\"ai-tokens\": 5}') where idempotency_key = 'chat-6'"),
		'f', 'and can still be settled');
	$is->($used->('agent-7', 'ai-tokens'), 'team-eng 14+0 agent-7 14+0', 'and counted');

	# ---- in UTF-8, whatever the database's encoding

	my $accented = post($app, '/chat', 'chat-utf8', $chat->(prompt => "Stra\x{df}e \x{2192} \x{1f600}"));
	$is->($accented->{answer}, "You said: Stra\x{df}e \x{2192} \x{1f600}", 'any text is answered');
	$is->(post($app, '/chat', 'chat-utf8', $chat->(prompt => "Stra\x{df}e \x{2192} \x{1f600}"))->{answer}, $accented->{answer}, 'and kept as it was');

	# ---- the end

	$is->($ask->("select string_agg(distinct state, ' ' order by state) from gov_reservations"), 'released settled', 'no hold is left');
	$is->($ask->('select count(*) from gov_verify()'), 0, 'the counts equal the ledger');
	$is->($ask->("select (select sum(tokens) from chats) + 5 = (select sum(amount) from gov_events where capability_id = 'ai-tokens')
		and (select count(*) from images) = (select sum(amount) from gov_events where capability_id = 'ai-images')"),
		't', 'and the own rows');
	$is->($ask->(q{select count(*) > 3 and sum(e.amount) = sum((select round(sum(q.value::numeric * p.price / p.per), 9) from jsonb_each_text(e.quantities) q
			join gov_prices p on p.quantity = q.key and p.match ->> 'model' = e.dimensions ->> 'model'))
		from gov_events e where capability_id = 'ai-dollars' and quantities is not null}),
		't', 'what was charged is what the quantities cost, rounded once for each use');
	end_with($model, 'TERM');
	foreach my $server ($app, $hasty)
	{
		ok(end_with($server, 'TERM'), "$language: it ends when told to") or diag slurp_file($server->{log});
	}
	return;
}

# What a client reads that knows no infinite times: the logs, and the report of alerts, of budgets that never reset.
sub test_reading
{
	my ($python) = @_;
	my $db = 'reading';
	my $report = slurp_file("$examples/bi/oncall/alerts.sql") =~ s/;\s*\z//r;
	my ($out, $err) = ('', '');

	$node->safe_psql('postgres', "create database $db");
	$node->safe_psql($db, q{
		create extension governance;
		insert into gov_entity_types (id) values ('org');
		insert into gov_capabilities (id) values ('tokens');
		insert into gov_entities (owner_id, id, type_id) values ('acme', 'org', 'org');
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds) values ('acme', 'org', 'tokens', 10, '{50}');
		select gov_ingest('acme', 'tokens', 6, null, '{org}')});
	gov_roll_up($node, $db);

	my $read = <<PYTHON;
import psycopg, sys
with psycopg.connect(sys.argv[1], client_encoding="UTF8") as connection:
    for query in sys.argv[2:]:
        print(len(connection.execute(query).fetchall()), flush=True)
PYTHON
	IPC::Run::run([ $python, '-c', $read, $node->connstr($db), (map { "select * from $_" } qw(gov_event_log gov_usage_log gov_alert_log)), $report ],
		'>', \$out, '2>', \$err);
	is("$out$err", "1\n1\n1\n1\n", 'psycopg reads the logs and the report of alerts of a budget that never resets');
	return;
}

my %command = (Python => scalar python(), TypeScript => scalar typescript());
my %missing = (
	Python => 'python3 has no psycopg and psycopg_pool (Debian: python3-psycopg python3-psycopg-pool)',
	TypeScript => "node has no pg and typescript (Debian's nodejs: node-pg node-typescript; another: npm install in examples/typescript)");

foreach my $language (sort keys %command)
{
  SKIP:
	{
		skip "$language: $missing{$language}", 1 unless $command{$language};
		test_language($language, $command{$language});
	}
}
SKIP:
{
	skip "Python: $missing{Python}", 1 unless $command{Python};
	test_reading($command{Python}[0]);
}

$node->stop;
done_testing();
