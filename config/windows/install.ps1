# Installs effect-rtmp as a Windows service. Written by src/node/WindowsScripts.ts.
#Requires -Version 5.1
#Requires -RunAsAdministrator
#
#   .\install.ps1 -Wrapper C:\Downloads\WinSW-x64.exe
#
# Wrapper is WinSW 2: WinSW-x64.exe on x64, WinSW.NET461.exe on ARM64. Node and the server stand where effect-rtmp.xml,
# beside this script, says. More than one service, or other places: effect-rtmp service install.
[CmdletBinding(SupportsShouldProcess)]
param(
  [Parameter(Mandatory)] [ValidateScript({ Test-Path -LiteralPath $_ -PathType Leaf })] [string] $Wrapper,
  [ValidateRange(1, 65535)] [int[]] $Port = @(1935)
)
Set-StrictMode -Version Latest
$ErrorActionPreference = "Stop"

$programs = Join-Path $env:ProgramFiles "effect-rtmp\service"
$data = Join-Path $env:ProgramData "effect-rtmp"
$description = Join-Path $PSScriptRoot "effect-rtmp.xml"
$executable = Join-Path $programs "effect-rtmp.exe"
$node = [Environment]::ExpandEnvironmentVariables(([xml](Get-Content -LiteralPath $description -Raw)).service.executable)

function Invoke-Checked([string] $File, [string[]] $Arguments) {
  & $File @Arguments
  if ($LASTEXITCODE -ne 0) { throw "$File $Arguments ended with status $LASTEXITCODE" }
}

if (-not (Test-Path -LiteralPath $node -PathType Leaf)) { throw "There is no Node at $node; effect-rtmp.xml says so." }
# An x64 Node runs on ARM64 too, emulated and at half the speed.
$native = if ($env:PROCESSOR_ARCHITECTURE -eq "ARM64") { "arm64" } else { "x64" }
$architecture = & $node -p "process.arch"
if ($architecture -ne $native) { Write-Warning "Node is for $architecture, and this machine is $native." }

if (-not $PSCmdlet.ShouldProcess("effect-rtmp", "install the service")) { return }

if (Get-Service -Name "effect-rtmp" -ErrorAction SilentlyContinue) {
  Stop-Service -Name "effect-rtmp"
  Invoke-Checked $executable @("uninstall")
}
New-Item -ItemType Directory -Force -Path $programs, $data, "$data\effect-rtmp\logs" | Out-Null
Copy-Item -LiteralPath $Wrapper -Destination $executable -Force
Copy-Item -LiteralPath $description -Destination (Join-Path $programs "effect-rtmp.xml") -Force
if (-not (Test-Path -LiteralPath "$data\effect-rtmp.yaml")) {
  New-Item -ItemType File -Path "$data\effect-rtmp.yaml" -Value "# Settings of effect-rtmp.`r`n{}`r`n" | Out-Null
}
# Keys and certificates may stand there: for administrators, the system (S-1-5-18) and LocalService (S-1-5-19) alone.
Invoke-Checked "icacls.exe" @($data, "/inheritance:r", "/grant:r", "*S-1-5-32-544:(OI)(CI)F", "*S-1-5-18:(OI)(CI)F", "*S-1-5-19:(OI)(CI)M")

Get-NetFirewallRule -Name "effect-rtmp" -ErrorAction SilentlyContinue | Remove-NetFirewallRule
New-NetFirewallRule -Name "effect-rtmp" -DisplayName "effect-rtmp" -Direction Inbound -Action Allow `
  -Protocol TCP -LocalPort $Port -Program $node -Profile Any | Out-Null

Invoke-Checked $executable @("install")
Start-Service -Name "effect-rtmp"
Get-Service -Name "effect-rtmp"
