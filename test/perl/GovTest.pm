# What the TAP tests of governance share: a server with the library, a customer of five levels, and
# the questions every test asks afterwards (what is counted, does it equal the ledger).

package GovTest;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(
  gov_node gov_build gov_use gov_counts gov_ledger gov_tail gov_stat
  gov_workers gov_is_exact gov_roll_up gov_raises gov_session_raises
  gov_set gov_ask gov_await
);

# The chain of gov_build, from the root down.
our @LEVELS = qw(org dept team user agent);

# A session may ask for as long as the test takes: the timeout is that of each of its queries.
{
	my $background_psql = \&PostgreSQL::Test::Cluster::background_psql;

	no warnings 'redefine';
	*PostgreSQL::Test::Cluster::background_psql = sub {
		my $session = $background_psql->(@_);

		$session->set_query_timer_restart;
		return $session;
	};
}

# Start a server with the library preloaded and the extension in database postgres.
#   conf       more lines for postgresql.conf
#   init       arguments of Cluster::init; its databases have locale C and the encoding this run is about, unless extra says otherwise
#   preload    0: leave the library out
#   extension  0: do not create the extension
sub gov_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $encoding = $ENV{GOVERNANCE_ENCODING} // 'UTF8';

	init_as_copy($node, extra => [ '--locale=C', "--encoding=$encoding" ], %{ $option{init} // {} });

	# A statement that hangs is a failure, not a pause. Compiling the checks' statements takes longer than they do.
	$node->append_conf('postgresql.conf', <<CONF);
jit = off
statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'
max_connections = 40
shared_buffers = 16MB
log_statement = none
max_worker_processes = 16
CONF
	if ($option{preload} // 1)
	{
		$node->append_conf('postgresql.conf',
			"shared_preload_libraries = 'governance'");
		$node->append_conf('postgresql.conf',
			"governance.rollup_interval = '200ms'");
	}
	$node->append_conf('postgresql.conf', $option{conf})
	  if defined $option{conf};
	$node->start;
	$node->safe_psql('postgres', 'create extension governance')
	  if $option{extension} // 1;
	return $node;
}

# Cluster::init for less: initdb takes longer than many a test. In a run of many, whose folder of templates test/check names, the first
# to ask for a cluster of a kind makes it, and every one is a copy.
sub init_as_copy
{
	my ($node, @arguments) = @_;
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;

	no warnings 'redefine';
	local *PostgreSQL::Test::Utils::system_or_bail = sub {
		my ($program, @options) = @_;
		my $data = $node->data_dir;

		return $run->($program, @options) if $program ne 'initdb' || !$ENV{GOVERNANCE_TEMPLATES};
		my $template = "$ENV{GOVERNANCE_TEMPLATES}/" . join(' ', grep { $_ ne $data } @options);
		if (!-d $template)
		{
			my $made = "$ENV{GOVERNANCE_TEMPLATES}/$$";

			$run->('initdb', map { $_ eq $data ? $made : $_ } @options);
			rename($made, $template) or -d $template or croak "$template: $!";
		}
		return $run->('cp', '-Rp', $template, $data);
	};
	$node->init(@arguments);
	return;
}

# Build one customer through the catalog functions: org-1, dept-1, team-1, user-1 and agents
# agent-1 … agent-N under it, with one budget for "tokens" on each of them.
#   owner [acme]   agents [1]   limit [1000000] of the agents; the levels above have a thousand times it
#   cadence [null]
sub gov_build
{
	my ($node, $db, %option) = @_;
	my $owner = $option{owner} // 'acme';
	my $agents = $option{agents} // 1;
	my $limit = $option{limit} // 1000000;
	my $cadence =
	  defined $option{cadence} ? qq("$option{cadence}") : 'null';
	my $schema = $option{schema} // 'public';
	my $sql = "set search_path = $schema;\n";

	$sql .= "select gov_upsert_entity_types('{\"types\": ["
	  . join(', ',
		map { qq({"id": "$_", "attributionKeys": ["${_}Id"]}) } @LEVELS)
	  . "]}');\n";
	$sql .= q{select gov_upsert_capabilities(
		'{"capabilities": [{"id": "tokens", "kind": "credit", "unit": "token"}]}');} . "\n";

	my @entities;
	my @assignments;
	my $parent = 'null';
	foreach my $level (@LEVELS[ 0 .. 3 ])
	{
		push @entities,
		  qq({"id": "$level-1", "typeRefId": "$level", "parentId": $parent});
		push @assignments,
		  qq({"entityId": "$level-1", "capabilityId": "tokens", "usageLimit": ${limit}000, "cadence": $cadence});
		$parent = qq("$level-1");
	}
	foreach my $n (1 .. $agents)
	{
		push @entities,
		  qq({"id": "agent-$n", "typeRefId": "agent", "parentId": $parent});
		push @assignments,
		  qq({"entityId": "agent-$n", "capabilityId": "tokens", "usageLimit": $limit, "cadence": $cadence});
	}
	while (my @items = splice @entities, 0, 100)
	{
		$sql .= "select gov_upsert_entities('$owner', '{\"entities\": ["
		  . join(",\n", @items) . "]}');\n";
	}
	while (my @items = splice @assignments, 0, 100)
	{
		$sql .= "select gov_upsert_assignments('$owner', '{\"assignments\": ["
		  . join(",\n", @items) . "]}');\n";
	}
	$node->safe_psql($db, $sql);
	return;
}

# Ingest for an agent of gov_build; answers the event's id.
sub gov_use
{
	my ($node, $db, $amount, %option) = @_;
	my $owner = $option{owner} // 'acme';
	my $agent = $option{agent} // 'agent-1';
	my $schema = $option{schema} // 'public';
	my $more = defined $option{more} ? ", $option{more}" : '';

	return $node->safe_psql($db,
		"select event_id from $schema.gov_ingest('$owner', 'tokens', $amount, null, array['$agent']$more)"
	);
}

# What the chain of an agent has used, as "agent-1=3 dept-1=3 …", from the gate.
sub gov_counts
{
	my ($node, $db, %option) = @_;
	my $owner = $option{owner} // 'acme';
	my $agent = $option{agent} // 'agent-1';
	my $schema = $option{schema} // 'public';

	return $node->safe_psql($db,
		qq{select string_agg(entity_id || '=' || trim_scale(current_usage), ' ' order by entity_id collate "C")
		   from $schema.gov_headroom('$owner', 'tokens', 0, null, array['$agent'])}
	);
}

# The same out of the ledger, without the engine.
sub gov_ledger
{
	my ($node, $db, %option) = @_;
	my $owner = $option{owner} // 'acme';
	my $agent = $option{agent} // 'agent-1';
	my $schema = $option{schema} // 'public';

	return $node->safe_psql($db,
		qq{select string_agg(level || '=' || trim_scale(coalesce(used, 0)), ' ' order by level collate "C")
		   from unnest(array['org-1', 'dept-1', 'team-1', 'user-1', '$agent']) level
		   cross join lateral (select sum(amount) as used from $schema.gov_events
		       where owner_id = '$owner' and capability_id = 'tokens' and level = any (entity_ids)) s}
	);
}

# How many committed events the rollup has not taken in yet.
sub gov_tail
{
	my ($node, $db, $schema) = @_;
	$schema //= 'public';

	return $node->safe_psql($db,
		"select count(*) from $schema.gov_events
		 where id > coalesce((select watermark from $schema.gov_rollup_state), 0)"
	);
}

# One number of gov_stats.
sub gov_stat
{
	my ($node, $db, $name) = @_;

	return $node->safe_psql($db,
		"select value from gov_stats where name = '$name'");
}

# The rollup workers of a database.
sub gov_workers
{
	my ($node, $db) = @_;

	return $node->safe_psql('postgres',
		"select count(*) from pg_stat_activity
		 where datname = '$db' and backend_type like 'governance%'");
}

# Invariant of every quiet moment: the gate's counts equal the ledger's sums, and gov_verify agrees.
sub gov_is_exact
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $db, $label, %option) = @_;
	my $schema = $option{schema} // 'public';

	is( gov_counts($node, $db, %option),
		gov_ledger($node, $db, %option),
		"$label: counts equal the ledger");
	is($node->safe_psql($db, "select * from $schema.gov_verify()"),
		'', "$label: gov_verify finds nothing");
	return;
}

# Run rounds until the ledger is rolled up: a round takes what the one before it has fenced.
sub gov_roll_up
{
	my ($node, $db, $schema) = @_;
	$schema //= 'public';

	$node->safe_psql($db, qq{
		do \$\$
		begin
			for round in 1 .. 50 * $PostgreSQL::Test::Utils::timeout_default loop
				perform $schema.gov_maintain();
				commit;
				if not exists (select from $schema.gov_events where id > coalesce((select watermark from $schema.gov_rollup_state), 0)) then
					return;
				end if;
				perform pg_sleep(0.01);
			end loop;
			raise 'the tail does not get rolled up';
		end
		\$\$});
	return;
}

# A statement raises this SQLSTATE, and its whole message matches.
sub gov_raises
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($node, $db, $sql, $sqlstate, $label, $pattern) = @_;
	my ($ret, $stdout, $stderr) =
	  $node->psql($db, $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	like($stderr, qr/ERROR:  $sqlstate:/, "$label: $sqlstate");
	like($stderr, $pattern, "$label: message") if defined $pattern;
	return;
}

# The same in an open session (of background_psql with on_error_stop => 0).
sub gov_session_raises
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($session, $sql, $sqlstate, $label) = @_;

	$session->query_safe('\set VERBOSITY verbose');
	$session->query($sql);
	my $stderr = $session->{stderr};
	$session->{stderr} = '';
	like($stderr, qr/ERROR:  $sqlstate:/, "$label: $sqlstate");
	return;
}

# The answer of an open session; an error is the answer too.
sub gov_ask
{
	my ($session, $sql) = @_;
	my $answer = $session->query($sql);

	$answer .= $session->{stderr};
	$session->{stderr} = '';
	return $answer;
}

# Ask in new sessions until there is an answer, and the one that is wanted, if one is. A killed backend is noticed a moment later, and
# the server is away for another one; a psql that cannot connect may be gone before it is told what to ask, which IPC::Run dies of.
sub gov_await
{
	my ($node, $db, $sql, $wanted) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $answer = '';
		my $status = eval { $node->psql($db, $sql, stdout => \$answer) };

		return $answer if defined $status && $status == 0 && (!defined $wanted || $answer eq $wanted);
		usleep(100_000);
	}
	croak "no answer to $sql";
}

# Change a setting for the whole server, and wait until new sessions have it. The value in the form SHOW prints.
# A round number of seconds is shown in minutes.
sub gov_set
{
	my ($node, $name, $value) = @_;

	$node->safe_psql('postgres', "alter system set $name = '$value'");
	$node->reload;
	$node->poll_query_until('postgres',
		"select current_setting('$name') = '$value' or setting || unit = '$value' from pg_settings where name = '$name'")
	  or croak "setting $name is not in force";
	return;
}

1;
