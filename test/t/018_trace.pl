# Hours of LLM requests through gov_ingest_many: what every entity has used equals a sum of the file made here, by the
# budgets and by the hourly attribution.
#
# Always with 1,500 requests of three hours, which examples/demo/generate.pl makes, the same every time.  And with a real hour
# where that is at hand: the Azure LLM inference trace 2023 (conversations; Patel et al., "Splitwise", ISCA 2024), which is no
# part of this tree: GOVERNANCE_TRACE names it, or it lies in ../shared/data.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant { USERS => 30, AGENTS => 60, BATCH => 500 };

my $root = "$FindBin::RealBin/../..";
my $generated = "$PostgreSQL::Test::Utils::tmp_check/generated.csv";
my $real = $ENV{GOVERNANCE_TRACE} || "$root/../shared/data/azure_llm_conv_2023.csv";

# org ── 3 departments ── 6 teams ── 30 users ── 60 agents, and 3 models: child => parent
my %parent = (
	org => undef,
	(map { ("dept-$_" => 'org') } 0 .. 2),
	(map { ("team-$_" => 'dept-' . $_ % 3) } 0 .. 5),
	(map { ("user-$_" => 'team-' . $_ % 6) } 0 .. USERS - 1),
	(map { ("agent-$_" => 'user-' . $_ % USERS) } 0 .. AGENTS - 1),
	(map { ("model-$_" => undef) } 0 .. 2));
my @ids = sort keys %parent;

my $node = gov_node('trace');

$node->safe_psql('postgres',
	q{select gov_upsert_entity_types('[{"id": "agent", "attributionKeys": ["agent"]}, {"id": "model", "attributionKeys": ["model"]},
	      {"id": "org"}, {"id": "dept"}, {"id": "team"}, {"id": "user"}]');
	  select gov_upsert_capabilities('[{"id": "ai-tokens", "kind": "credit"}]');});

sub make_owner
{
	my ($owner) = @_;

	$node->safe_psql('postgres',
		"insert into gov_entities (owner_id, id, type_id, parent_id) values\n"
		  . join(",\n",
			map { my ($type) = /^([a-z]+)/; "('$owner', '$_', '$type', " . (defined $parent{$_} ? "'$parent{$_}'" : 'null') . ')' }
			  @ids)
		  . ";\n"
		  # what never resets counts everything; a month counts in the month in which it was used
		  . qq{insert into gov_assignments (owner_id, entity_id, capability_id, name, cadence)
		      select '$owner', id, 'ai-tokens', name, nullif(name, 'ever') from gov_entities, unnest('{ever,P1M}'::text[]) as name
		      where owner_id = '$owner'});
	return;
}

# The calls that record a file for an owner, and the sums that come of it, made independently in the same pass.
sub read_trace
{
	my ($owner, $trace) = @_;
	my %trace = (total => {}, hourly => {}, calls => [], events => 0, sum => 0);
	my @batch;
	my $flush = sub {
		push @{ $trace{calls} }, "select * from gov_ingest_many('$owner', '[" . join(",\n", @batch) . "]') where error is not null or is_duplicate;"
		  if @batch;
		@batch = ();
	};

	open my $file, '<', $trace or die "cannot read $trace: $!";
	like(scalar <$file>, qr/^TIMESTAMP,ContextTokens,GeneratedTokens/, "$owner: the file is a trace");
	while (my $line = <$file>)
	{
		$line =~ /^((\S+ \d\d):\S+),(\d+),(\d+)/ or die "line $.: $line";
		my ($at, $hour, $tokens) = ($1, $2, $3 + $4);
		my ($agent, $model) = ('agent-' . $. * 7 % AGENTS, 'model-' . $. % 3);

		for (my $id = $agent; defined $id; $id = $parent{$id})
		{
			$trace{total}{$id} += $tokens;
			$trace{hourly}{"$id $hour"} += $tokens;
		}
		$trace{total}{$model} += $tokens;
		$trace{hourly}{"$model $hour"} += $tokens;
		$trace{events}++;
		$trace{sum} += $tokens;

		push @batch, qq({"capabilityId": "ai-tokens", "amount": $tokens, "idempotencyKey": "req-$.",)
		  . qq( "dimensions": {"agent": "$agent", "model": "$model"}, "occurredAt": "${at}Z"});
		$flush->() if @batch == BATCH;
	}
	close $file;
	$flush->();
	return \%trace;
}

# By entity, or by entity and hour.
sub lines
{
	my ($sums) = @_;

	return join "\n", map { "$_ $sums->{$_}" } sort keys %$sums;
}

sub live
{
	my ($owner) = @_;

	return $node->safe_psql('postgres', qq{
		select entity_id || ' ' || trim_scale(current_usage)
		from (select distinct entity_id, current_usage
		      from gov_headroom('$owner', 'ai-tokens', 0, null, '{@{[ join ',', @ids ]}}') where name = 'ever') as budget
		order by entity_id collate "C"});
}

sub is_recorded
{
	my ($owner, $trace) = @_;

	is($node->safe_psql('postgres', join("\n", @{ $trace->{calls} })), '', "$owner: all $trace->{events} events are recorded");
	is(live($owner), lines($trace->{total}), "$owner: live usage of every entity equals the sum of the file");

	gov_roll_up($node, 'postgres');

	is(live($owner), lines($trace->{total}), "$owner: and after the rollup");
	is( $node->safe_psql('postgres',
			qq{select a.entity_id || ' ' || trim_scale(u.amount)
			  from gov_usage u join gov_assignments a on a.id = u.assignment_id
			  where a.owner_id = '$owner' and a.name = 'P1M' and u.window_start = '2023-11-01 00:00Z' and u.window_end = '2023-12-01 00:00Z'
			  order by a.entity_id collate "C"}),
		lines($trace->{total}),
		"$owner: the month of the trace has it in its history");
	is( $node->safe_psql('postgres',
			qq{select entity_id || ' ' || to_char(hour at time zone 'UTC', 'YYYY-MM-DD HH24') || ' ' || trim_scale(amount)
			  from gov_usage_hourly where owner_id = '$owner' order by entity_id collate "C", hour}),
		lines($trace->{hourly}),
		"$owner: hourly attribution equals the sums by hour");
	is($node->safe_psql('postgres', "select count(*), trim_scale(sum(amount)) from gov_events where owner_id = '$owner'"),
		"$trace->{events}|$trace->{sum}", "$owner: the ledger has every event once");

	# the same hour again: every key is known
	is( $node->safe_psql('postgres',
			$trace->{calls}[0] =~ s/select \*/select count(*)/r =~ s/where.*$/where is_duplicate and error is null;/r),
		BATCH,
		"$owner: repeating a batch is harmless");
	return;
}

system_or_bail("$^X $root/examples/demo/generate.pl 1500 10000 > $generated");
my %file = (generated => $generated);
$file{real} = $real if -r $real;

my %trace;
foreach my $owner (sort keys %file)
{
	make_owner($owner);
	$trace{$owner} = read_trace($owner, $file{$owner});
	is_recorded($owner, $trace{$owner});
}
is(scalar(grep { /^org / } keys %{ $trace{generated}{hourly} }), 3, 'what is generated spans three hours');

# and what a restart loads is what was there
$node->restart;
is(live($_), lines($trace{$_}{total}), "$_: a cold cache loads the same") foreach sort keys %trace;
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

$node->stop;
done_testing();
