# A psql that is asked one thing after another, over plain pipes: a question costs what the server takes for it. (The cluster
# module's background psql costs several milliseconds each time, which is most of a history of short steps.)

package GovSession;

use strict;
use warnings;

use Errno;
use IO::Select;
use IPC::Open3;
use PostgreSQL::Test::Utils;

sub new
{
	my ($class, $node, $name) = @_;
	my $self = bless { name => $name, asked => 0 }, $class;
	local $ENV{PGOPTIONS} = '-c timezone=UTC -c jit=off';

	$self->{pid} = open3($self->{in}, $self->{out}, undef, 'psql', '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name");
	$self->{in}->autoflush(1);
	return $self;
}

# All that a script prints, its errors too, and whether psql is still there: it ends with its connection.
sub run
{
	my ($self, $script) = @_;
	my $end = "-- end of answer $self->{asked} --\n";
	my $buffer = '';
	local $SIG{PIPE} = 'IGNORE';

	$self->{asked}++;
	print { $self->{in} } "$script\n\\echo $end";
	until ($buffer =~ s/^\Q$end\E\z//m)
	{
		$! = 0;
		my $is_ready = IO::Select->new($self->{out})->can_read($PostgreSQL::Test::Utils::timeout_default);

		next if !$is_ready && $!{EINTR};	# a child has ended
		$is_ready or die "$self->{name} does not answer: $script\n";
		sysread($self->{out}, $buffer, 65536, length $buffer) or return ($buffer, 0);
	}
	return ($buffer, 1);
}

# The answer to some SQL, without the last line feed. Dies with the message if there is an error, and if the server is gone.
sub ask
{
	my ($self, $sql) = @_;
	my ($answer, $is_there) = $self->run("$sql;");

	die "$self->{name} is gone: $answer\n" if !$is_there;
	die $answer if $answer =~ /^(WARNING|ERROR|FATAL|PANIC):  /m;
	chomp $answer;
	return $answer;
}

# Wait until the server has closed the connection.
sub await_end
{
	my ($self) = @_;
	1 while eval { $self->ask('select 1') };
	return;
}

# The process that serves it.
sub backend { return $_[0]->ask('select pg_backend_pid()'); }

sub close
{
	my ($self) = @_;
	local $SIG{PIPE} = 'IGNORE';

	CORE::close($self->{in});
	CORE::close($self->{out});
	waitpid($self->{pid}, 0);
	return;
}

1;
